"""How connections are accepted."""

import asyncio
import asyncio.constants
import asyncio.trsock
import contextlib
import contextvars
import errno
import itertools
import logging
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

import ouroloop
import pytest

from tests.support.loops import HOST, Run, until

from .peers import Serving, address_of, serve


def test_many_connections_at_once(run: Run, made: list[Serving]) -> None:
    async def main() -> None:
        server = await serve(backlog=64)
        clients = [socket.create_connection(address_of(server)) for _ in range(50)]
        for client in clients:
            client.sendall(client.getsockname()[1].to_bytes(2, "big"))
        await until(lambda: len(made) == 50)
        peers = {each.transport.get_extra_info("peername") for each in made}
        assert peers == {client.getsockname() for client in clients}
        for client in clients:
            client.setblocking(False)
            received = await asyncio.get_running_loop().run_in_executor(None, read_two, client)
            assert received == client.getsockname()[1].to_bytes(2, "big")
            client.close()
        await until(lambda: all(each.lost for each in made))
        server.close()

    run(main())


def read_two(client: socket.socket) -> bytes:
    client.settimeout(5)
    return client.recv(2, socket.MSG_WAITALL)


def test_a_backlog_of_nothing_still_accepts(run_native: Run, made: list[Serving]) -> None:
    async def main() -> None:
        server = await serve(backlog=0)
        for number in range(3):
            with socket.create_connection(address_of(server)):
                await until(lambda number=number: len(made) == number + 1)
        server.close()

    run_native(main())


def test_an_error_of_the_factory_closes_the_connection(
    run_native: Run, made: list[Serving]
) -> None:
    failing = True
    reported: list[Any] = []

    def factory() -> Serving:
        if failing:
            raise ZeroDivisionError("no protocol")
        return Serving()

    async def main() -> None:
        nonlocal failing
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        server = await loop.create_server(factory, HOST, 0)
        for debug in (False, True):
            loop.set_debug(debug)
            with socket.create_connection(address_of(server)) as client:
                assert await loop.run_in_executor(None, client.recv, 1) == b""
            assert len(reported) == debug
        loop.set_debug(False)
        failing = False
        with socket.create_connection(address_of(server)):
            await until(lambda: len(made) == 1)
        server.close()

    run_native(main())
    (context,) = reported
    assert context.keys() == {"message", "exception"}
    assert context["message"] == "Error on transport creation for incoming connection"
    assert isinstance(context["exception"], ZeroDivisionError)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_factory_may_leave_the_loop(kind: type[BaseException]) -> None:
    def factory() -> Serving:
        raise kind("from the factory")

    loop = ouroloop.new_event_loop()
    server = loop.run_until_complete(loop.create_server(factory, HOST, 0))
    with (
        socket.create_connection(address_of(server)),
        pytest.raises(kind, match="from the factory"),
    ):
        loop.run_forever()
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


def test_a_factory_may_close_the_server(run_native: Run) -> None:
    reported: list[Any] = []
    created: list[Serving] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context))

        def factory() -> Serving:
            server.close()
            created.append(Serving())
            return created[-1]

        server = await loop.create_server(factory, HOST, 0)
        clients = [socket.create_connection(address_of(server)) for _ in range(3)]
        await server.wait_closed()
        for client in clients:
            client.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
            client.close()

    run_native(main(), debug=True)
    assert len(reported) == 3, "they were accepted together"
    assert all(isinstance(context["exception"], AssertionError) for context in reported)
    assert [context["protocol"] for context in reported] == created


number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


def test_protocols_are_made_in_the_context_of_the_start(run: Run) -> None:
    seen: list[int] = []

    def factory() -> Serving:
        seen.append(number.get())
        number.set(99)
        return Serving()

    async def main() -> None:
        number.set(1)
        server = await asyncio.get_running_loop().create_server(factory, HOST, 0)
        number.set(2)
        for count in range(2):
            with socket.create_connection(address_of(server)):
                await until(lambda count=count: len(seen) == count + 1)
        assert number.get() == 2
        server.close()

    run(main())
    # A copy for each connection: what one sets the next one does not see.
    assert seen == [1, 1]


def is_free(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


@contextlib.contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Allow ``count`` more descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = filter(is_free, itertools.count())
    limit = next(itertools.islice(free, count, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_out_of_descriptors_nothing_is_lost(
    run_native: Run, made: list[Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.05)
    reported: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        server = await serve()
        clients = [socket.create_connection(address_of(server)) for _ in range(5)]
        with descriptors_left(2):
            await until(lambda: bool(reported))
            assert len(made) == 2
        await until(lambda: len(made) == 5)
        for client in clients:
            client.close()
        await until(lambda: all(each.lost for each in made))
        assert repr(reported[0]["socket"]) == repr(server.sockets[0])
        server.close()

    run_native(main())
    (context,) = reported
    assert context.keys() == {"message", "exception", "socket"}
    assert context["message"] == "socket.accept() out of system resource"
    assert context["exception"].args == (errno.EMFILE, os.strerror(errno.EMFILE))
    assert isinstance(context["socket"], asyncio.trsock.TransportSocket)


def test_out_of_descriptors_and_closed(
    run_native: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.01)
    reported: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        server = await serve()
        with socket.create_connection(address_of(server)):
            with descriptors_left(0):
                await until(lambda: bool(reported))
            server.close()
            await asyncio.sleep(0.03)

    run_native(main())
    assert len(reported) == 1
    assert not caplog.records


def test_a_broken_listener_is_reported(run_native: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.01)
    reported: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        server = await serve()
        server.sockets[0].shutdown(socket.SHUT_RDWR)
        await until(lambda: len(reported) == 2)
        server.close()

    run_native(main())
    for context in reported:
        assert context["message"].startswith("Exception in callback <Listener socket=<socket.")
        assert context["exception"].errno == errno.EINVAL


def test_debug_mode_logs_servers_and_connections(
    run: Run, made: list[Serving], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main() -> None:
        server = await serve()
        shown = repr(server)
        with socket.create_connection(address_of(server)) as client:
            await until(lambda: len(made) == 1)
            sock = made[0].transport.get_extra_info("socket")
            expected = [
                f"{shown} is serving",
                f"{shown} got a new connection from {client.getsockname()!r}: <socket.socket fd=",
            ]
            laddr, raddr = f"laddr={sock.getsockname()}", f"raddr={client.getsockname()}"
            texts = [record.getMessage() for record in caplog.records]
            found = [next(text for text in texts if text.startswith(start)) for start in expected]
            assert found[1].endswith(f"{laddr}, {raddr}>")
        await until(lambda: made[0].lost)
        server.close()
        caplog.clear()

    run(main(), debug=True)
    caplog.clear()
