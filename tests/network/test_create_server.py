"""``create_server``: its keywords and errors."""

import asyncio
import asyncio.log
import asyncio.trsock
import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.descriptors import open_descriptors
from tests.support.loops import HOST, Run, until

from .conftest import exactly
from .peers import Serving, address_of, serve


def test_it_serves_at_once(run: Run, made: list[Serving]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await serve()
        assert isinstance(server, asyncio.Server)
        assert isinstance(server, asyncio.AbstractServer)
        assert server.get_loop() is loop
        assert server.is_serving()
        assert isinstance(server.sockets, tuple)
        assert [type(sock) for sock in server.sockets] == [asyncio.trsock.TransportSocket]
        assert repr(server) == f"<Server sockets={server.sockets!r}>"
        assert server.sockets[0].gettimeout() == 0
        with socket.create_connection(address_of(server)) as client:
            await until(lambda: len(made) == 1)
            assert made[0].transport.get_extra_info("peername") == client.getsockname()
            assert made[0].transport.get_extra_info("sockname") == client.getpeername()
        await until(lambda: made[0].lost)
        server.close()
        assert server.sockets == ()
        assert repr(server) == "<Server sockets=()>"
        assert not server.is_serving()
        await server.wait_closed()

    run(main())


def test_it_serves_later(run: Run) -> None:
    async def main() -> None:
        server = await serve(start_serving=False)
        assert not server.is_serving()
        assert address_of(server)[1] > 0
        with socket.socket() as client:
            assert client.connect_ex(address_of(server)) == errno.ECONNREFUSED
        for _ in range(2):
            await server.start_serving()
            assert server.is_serving()
        with socket.create_connection(address_of(server)):
            await until(lambda: len(Serving.made) == 1)
        server.close()

    run(main())


def test_close_refuses_connections_at_once(run: Run) -> None:
    async def main() -> None:
        server = await serve()
        address = address_of(server)
        server.close()
        server.close()
        with socket.socket() as client:
            assert client.connect_ex(address) == errno.ECONNREFUSED

    run(main())


@pytest.mark.parametrize("kind", [list, tuple, set, iter])
def test_a_server_of_several_hosts(run: Run, kind: Callable[[list[str]], Any]) -> None:
    async def main() -> None:
        server = await serve(kind([HOST, "127.0.0.2"]), 0)
        bound = {sock.getsockname()[0] for sock in server.sockets}
        assert bound == {HOST, "127.0.0.2"}
        for place in range(2):
            with socket.create_connection(address_of(server, place)):
                await until(lambda place=place: len(Serving.made) == place + 1)
        server.close()

    run(main())


def test_a_host_is_bound_once(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        server = await serve([HOST, "localhost", HOST], port, family=socket.AF_INET)
        assert len(server.sockets) == 1
        server.close()

    run(main())


@pytest.mark.parametrize("host", [None, ""])
def test_every_interface(run: Run, host: str | None) -> None:
    async def main() -> None:
        server = await serve(host, 0)
        families = {sock.family for sock in server.sockets}
        assert socket.AF_INET in families
        assert all(address_of(server, place)[0] in {"0.0.0.0", "::"} for place in range(2))
        server.close()

    run(main())


def test_family_and_flags_reach_getaddrinfo(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        asked = []

        async def getaddrinfo(host: Any, port: Any, **keywords: Any) -> Any:
            asked.append((host, port, keywords))
            return []

        loop.getaddrinfo = getaddrinfo
        with pytest.raises(OSError, match=r"^getaddrinfo\('name'\) returned empty list$"):
            await serve("name", 1)
        with pytest.raises(OSError, match=r"^getaddrinfo\(None\) returned empty list$"):
            await serve(None, 2, family=socket.AF_INET6, flags=0)
        del loop.getaddrinfo
        common = {"type": socket.SOCK_STREAM, "proto": 0}
        assert asked == [
            ("name", 1, {"family": 0, "flags": socket.AI_PASSIVE, **common}),
            (None, 2, {"family": socket.AF_INET6, "flags": 0, **common}),
        ]

    run(main())


def test_ipv6_leaves_the_port_of_ipv4_free(run: Run) -> None:
    async def main() -> None:
        server = await serve("::", 0)
        assert server.sockets[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        server.close()

    run(main())


@pytest.mark.parametrize(
    ("keywords", "option", "expected"),
    [
        ({}, socket.SO_REUSEADDR, True),
        ({"reuse_address": None}, socket.SO_REUSEADDR, True),
        ({"reuse_address": False}, socket.SO_REUSEADDR, False),
        ({}, socket.SO_REUSEPORT, False),
        ({"reuse_port": True}, socket.SO_REUSEPORT, True),
        ({}, socket.SO_KEEPALIVE, False),
        ({"keep_alive": False}, socket.SO_KEEPALIVE, False),
        ({"keep_alive": True}, socket.SO_KEEPALIVE, True),
    ],
)
def test_socket_options(run: Run, keywords: dict[str, Any], option: int, expected: bool) -> None:
    async def main() -> None:
        if "keep_alive" in keywords and sys.version_info < (3, 13):
            with pytest.raises(TypeError, match="unexpected keyword argument 'keep_alive'"):
                await serve(**keywords)
            return
        server = await serve(**keywords)
        assert bool(server.sockets[0].getsockopt(socket.SOL_SOCKET, option)) is expected
        server.close()

    run(main())


def test_a_socket_of_the_callers(run: Run) -> None:
    async def main() -> None:
        sock = socket.socket()
        sock.bind((HOST, 0))
        server = await serve(None, None, sock=sock, backlog=5)
        assert sock.gettimeout() == 0
        assert address_of(server) == sock.getsockname()
        with socket.create_connection(address_of(server)):
            await until(lambda: len(Serving.made) == 1)
        server.close()
        assert sock.fileno() == -1

    run(main())


def test_a_unix_socket_of_the_callers(run: Run, tmp_path: Any, made: list[Serving]) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(tmp_path / "socket"))
        server = await serve(None, None, sock=sock)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "socket"))
            await until(lambda: len(made) == 1)
        await until(lambda: made[0].lost)
        server.close()

    run(main())


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, ValueError, "Neither host/port nor sock were specified"),
    ({"ssl": True}, TypeError, "ssl argument must be an SSLContext or None"),
    ({"ssl": False}, TypeError, "ssl argument must be an SSLContext or None"),
    (
        {"ssl_handshake_timeout": 1},
        ValueError,
        "ssl_handshake_timeout is only meaningful with ssl",
    ),
    ({"ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout is only meaningful with ssl"),
]


@pytest.mark.parametrize(("keywords", "kind", "message"), REFUSED)
def test_what_does_not_fit_together_is_refused(
    run: Run, keywords: dict[str, Any], kind: type[Exception], message: str
) -> None:
    async def main() -> None:
        with pytest.raises(kind) as error:
            await asyncio.get_running_loop().create_server(Serving, **keywords)
        assert str(error.value) == message

    run(main())


def test_a_socket_that_does_not_fit_is_refused(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as sock:
            message = "host/port and sock can not be specified at the same time"
            with pytest.raises(ValueError, match=message):
                await serve(HOST, sock=sock)
            assert sock.fileno() >= 0
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            message = f"A Stream Socket was expected, got {sock!r}"
            with pytest.raises(ValueError, match=exactly(message)):
                await serve(None, None, sock=sock)

    run(main())


def test_an_unknown_keyword_is_refused(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="unexpected keyword argument 'nodelay'"):
            await serve(nodelay=True)

    run(main())


def test_a_port_in_use_is_an_error(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as used:
            used.bind((HOST, 0))
            used.listen()
            port = used.getsockname()[1]
            number = f"[errno {errno.EADDRINUSE}] " if sys.version_info >= (3, 13) else ""
            where = f"error while attempting to bind on address ('{HOST}', {port})"
            message = f"[Errno {errno.EADDRINUSE}] {where}: {number}address already in use"
            before = open_descriptors()
            # The second host fails, and the first one is given back.
            with pytest.raises(OSError, match=exactly(message)) as error:
                await serve(["127.0.0.2", HOST], port)
            assert open_descriptors() == before
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__

    run(main())


FOREIGN = "192.0.2.1"
"""An address for documentation, which no machine has."""


def test_an_address_of_elsewhere_is_an_error(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        message = f"could not bind on any address out of [('{FOREIGN}', 80)]"
        if sys.version_info < (3, 13):
            where = f"error while attempting to bind on address ('{FOREIGN}', 80)"
            text = os.strerror(errno.EADDRNOTAVAIL).lower()
            message = f"[Errno {errno.EADDRNOTAVAIL}] {where}: {text}"
        with pytest.raises(OSError, match=exactly(message)):
            await serve(FOREIGN, 80)

    run(main(), debug=True)
    if sys.version_info >= (3, 13):
        warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
        text = os.strerror(errno.EADDRNOTAVAIL).lower()
        number = f"[errno {errno.EADDRNOTAVAIL}]"
        where = f"error while attempting to bind on address ('{FOREIGN}', 80)"
        assert warnings == [f"{where}: {number} {text}"]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="every address has to be bound")
def test_an_address_of_elsewhere_is_passed_over(run: Run) -> None:
    async def main() -> None:
        server = await serve([FOREIGN, HOST], 0)
        assert [sock.getsockname()[0] for sock in server.sockets] == [HOST]
        server.close()

    run(main())


def test_a_family_that_the_system_lacks_is_passed_over(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[Any] = []
    # Not by way of records, whose traceback would keep the loop.
    monkeypatch.setattr(
        asyncio.log.logger, "warning", lambda *args, exc_info: warnings.append((*args, exc_info))
    )

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()

        async def getaddrinfo(host: Any, port: Any, **keywords: Any) -> Any:
            return [(12345, 1, 6, "", ("?", 0)), (socket.AF_INET, 1, 6, "", (HOST, 0))]

        loop.getaddrinfo = getaddrinfo
        server = await serve("name", 0)
        del loop.getaddrinfo
        assert len(server.sockets) == 1
        server.close()
        ((*message, exc_info),) = warnings
        text = "create_server() failed to create socket.socket(%r, %r, %r)"
        assert message == [text, 12345, 1, 6]
        assert exc_info
        warnings.clear()

    run(main(), debug=True)


def test_listening_may_fail(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            rival.bind((HOST, 0))
            server = await serve(*rival.getsockname(), start_serving=False)
            rival.listen()
            with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
                await server.start_serving()
            server.close()

    run(main())


def test_a_server_that_cannot_listen_is_closed(run_native: Run) -> None:
    async def main() -> None:
        before = open_descriptors()
        with pytest.raises(TypeError):
            await serve(backlog="many")
        assert open_descriptors() == before
        with socket.socket() as sock:
            with pytest.raises(TypeError):
                await serve(None, None, sock=sock, backlog="many")
            assert sock.fileno() >= 0

    run_native(main())


@pytest.mark.parametrize("end", ["throw", "close", "drop"])
def test_a_server_that_nobody_gets_is_closed(run_native: Run, end: str) -> None:
    async def main() -> None:
        before = open_descriptors()
        creation: Any = asyncio.get_running_loop().create_server(Serving, HOST, 0)
        # Three turns for the host, and the one in which it serves.
        assert [creation.send(None) for _ in range(4)] == [None] * 4
        assert len(open_descriptors()) == len(before) + 1
        if end == "throw":
            with pytest.raises(asyncio.CancelledError):
                creation.throw(asyncio.CancelledError())
        elif end == "close":
            creation.close()
        del creation
        assert open_descriptors() == before

    run_native(main())
