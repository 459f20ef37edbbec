"""One connection's error is that connection's: what a broken protocol does ends neither loop nor server.

Each method of each kind of protocol is broken in each way on both loops, which must say the same.
"""

import asyncio
import contextlib
import gc
import os
import re
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import ouroloop
import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import FACTORIES, HOST, Run, until

from .broken import (
    FLOOD,
    WAYS,
    Buffered,
    Datagrams,
    Pipe,
    Process,
    Sound,
    Stream,
    attempt,
    broken,
    methods_of,
    said_by,
)

Scenario = Callable[[], Coroutine[Any, Any, Any]]


async def looks(count: int = 3) -> None:
    """Let the loop look at its descriptors a few times, as it does when it waits."""
    for _ in range(count):
        await asyncio.sleep(0.001)


def same_on_both(scenario: Scenario, *, nameless: bool = False) -> tuple[list[str], Any]:
    """Run a scenario on both loops, which must come to the same; what they say.

    Stock asyncio cannot name a callback whose handle it has cancelled by then: those are ``nameless``.
    """
    stock, native = (said_by(FACTORIES[name], scenario) for name in ("asyncio", "ouroloop"))
    if nameless:
        stock, native = ((without_names(said), answer) for said, answer in (stock, native))
    assert native == stock
    return native


def without_names(said: list[str]) -> list[str]:
    return [re.sub(r"callback [^|]*", "callback ", line) for line in said]


def stock_gives_up(method: str, way: str) -> bool:
    """Whether this loop is the standard one, which forgets its transport half closed."""
    unfound = way in ("missing", "lookup")
    forgets = unfound and method in ("eof_received", "pipe_connection_lost", "process_exited")
    return forgets and not isinstance(asyncio.get_running_loop(), ouroloop.Loop)


def cases(kind: type[Sound]) -> Any:
    """Every method of a kind of protocol, broken in every way."""
    return pytest.mark.parametrize(
        ("method", "way"), [(method, way) for method in methods_of(kind) for way in WAYS]
    )


class Link:
    """How a client and a server are connected."""

    def __init__(self, name: str, path: Path, contexts: Contexts) -> None:
        self.name, self.path, self.contexts = name, path / "s", contexts

    async def serve(self, factory: Callable[[], Any]) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if self.name == "unix":
            self.path.unlink(missing_ok=True)
            return await loop.create_unix_server(factory, self.path)
        context = self.contexts.server() if self.name == "tls" else None
        return await loop.create_server(factory, HOST, 0, ssl=context)

    async def connect(self, server: asyncio.Server, factory: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        if self.name == "unix":
            return await loop.create_unix_connection(factory, str(self.path))
        port = server.sockets[0].getsockname()[1]
        if self.name == "tls":
            context = self.contexts.client()
            return await loop.create_connection(
                factory, HOST, port, ssl=context, server_hostname=NAME
            )
        return await loop.create_connection(factory, HOST, port)


@pytest.fixture(params=["tcp", "unix", "tls"])
def link(request: pytest.FixtureRequest, tmp_path: Path, contexts: Contexts) -> Link:
    return Link(request.param, tmp_path, contexts)


async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Ask for a flood, take it and say goodbye; whether all that worked."""
    try:
        writer.write(b"x")
        await reader.readexactly(FLOOD)
        if writer.can_write_eof():
            writer.write_eof()
            await reader.read()
    except (OSError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return True


def streams() -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    reader = asyncio.StreamReader()
    return reader, asyncio.StreamReaderProtocol(reader)


async def visit(link: Link, server: asyncio.Server) -> bool:
    """Be a sound client."""
    reader, protocol = streams()
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await link.connect(server, lambda: protocol)
    except OSError:
        return False
    return await peer(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


async def ended(protocol: Sound) -> None:
    """Wait for the end of a connection, if it has begun."""
    if protocol.transport is not None:
        await until(protocol.transport.is_closing)
        await looks(5)


def serving(link: Link, kind: type[Sound], method: str, way: str) -> Scenario:
    """A server whose first connection has a broken protocol, and the second a sound one."""

    async def scenario() -> Any:
        made: list[Sound] = []

        def factory() -> Sound:
            made.append((kind if made else broken(kind, method, way))())
            return made[-1]

        server = await link.serve(factory)
        visiting = asyncio.ensure_future(visit(link, server))
        await closed_by_the_collector(method)
        if (method, way) == ("eof_received", "returns") and link.name != "tls":
            # It stays open for writing.
            await until(lambda: made and "eof" in made[0].events)
            made[0].transport.close()
        await visiting
        await ended(made[0])
        still_serves = await visit(link, server)
        server.close()
        await looks(5)
        return still_serves, made[1].events

    return scenario


async def closed_by_the_collector(method: str = "connection_made") -> None:
    """Stock asyncio lets a socket without a transport go, and forgets to close it."""
    if method in ("connection_made", "get_buffer", "buffer_updated"):
        await looks(10)
        gc.collect()


def calling(link: Link, kind: type[Sound], method: str, way: str) -> Scenario:
    """A client with a broken protocol."""

    async def scenario() -> Any:
        visits: list[asyncio.Task[bool]] = []

        def accept() -> asyncio.StreamReaderProtocol:
            reader = asyncio.StreamReader()

            async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                visits.append(asyncio.current_task())  # type: ignore[arg-type]
                await peer(reader, writer)

            return asyncio.StreamReaderProtocol(reader, greet)

        server = await link.serve(accept)
        protocol = broken(kind, method, way)()
        _, outcome = await attempt(link.connect(server, lambda: protocol))
        await closed_by_the_collector(method)
        if (method, way) == ("eof_received", "returns") and link.name != "tls":
            await until(lambda: "eof" in protocol.events)
            protocol.transport.close()
        if outcome == "made":
            await until(lambda: visits)
        await until(lambda: all(visit.done() for visit in visits))
        await ended(protocol)
        server.close()
        await looks(5)
        return outcome

    return scenario


@pytest.mark.parametrize("role", [serving, calling])
@cases(Stream)
def test_streams(link: Link, role: Callable[..., Scenario], method: str, way: str) -> None:
    _, answer = same_on_both(role(link, Stream, method, way))
    if role is serving:
        assert answer[0]
        assert "lost" in answer[1]


@cases(Buffered)
def test_buffered_streams(link: Link, method: str, way: str) -> None:
    _, answer = same_on_both(serving(link, Buffered, method, way))
    assert answer[0]


ODD_BUFFERS = [None, 5, "text", b"read-only", b"", bytearray(), ["list"], memoryview(b"x")]


@pytest.mark.parametrize("odd", ODD_BUFFERS, ids=lambda odd: f"{type(odd).__name__}")
def test_buffers_that_are_none(tmp_path: Path, contexts: Contexts, odd: object) -> None:
    class Odd(Buffered):
        def get_buffer(self, sizehint: int) -> Any:
            return odd

    async def scenario() -> Any:
        server = await link.serve(lambda: protocol)
        protocol: Sound = Odd()
        assert not await visit(link, server)
        protocol = Buffered()
        assert await visit(link, server)
        server.close()
        await looks(5)

    link = Link("tcp", tmp_path, contexts)
    said, _ = same_on_both(scenario)
    assert len(said) == 1


def raising() -> Any:
    raise ArithmeticError("no protocol")


FACTORIES_OF_NOTHING = [raising, lambda: None, lambda: 5, object]


@pytest.mark.parametrize("factory", FACTORIES_OF_NOTHING, ids=["raising", "None", "5", "object"])
@pytest.mark.parametrize("debug", [False, True])
def test_servers_with_such_factories(link: Link, factory: Callable[[], Any], debug: bool) -> None:
    if debug and link.name == "tls" and factory is not raising:
        pytest.skip("a task of stock asyncio's waits for ever and reports nothing")

    async def scenario() -> Any:
        asyncio.get_running_loop().set_debug(debug)
        server = await link.serve(lambda: current())  # noqa: PLW0108 -- it changes
        current = factory
        visiting = asyncio.ensure_future(visit(link, server))
        await closed_by_the_collector()
        assert not await visiting
        current = Stream
        still_serves = await visit(link, server)
        server.close()
        await looks(5)
        return still_serves

    # Debug mode shows the arguments of callbacks, and they the classes of transports.
    assert same_on_both(scenario, nameless=debug)[1]


@pytest.mark.parametrize("factory", FACTORIES_OF_NOTHING, ids=["raising", "None", "5", "object"])
def test_clients_with_such_factories(link: Link, factory: Callable[[], Any]) -> None:
    async def scenario() -> Any:
        server = await link.serve(Stream)
        _, outcome = await attempt(link.connect(server, factory))
        await closed_by_the_collector()
        still_serves = await visit(link, server)
        server.close()
        await looks(5)
        return outcome, still_serves

    if link.name == "tls" and factory is not raising:
        # Stock asyncio waits for ever.
        _, (outcome, still_serves) = said_by(ouroloop.new_event_loop, scenario)
    else:
        _, (outcome, still_serves) = same_on_both(scenario)
    assert outcome != "made"
    assert still_serves


@pytest.mark.parametrize("factory", FACTORIES_OF_NOTHING, ids=["raising", "None", "5", "object"])
def test_other_transports_with_such_factories(factory: Callable[[], Any]) -> None:
    async def scenario() -> Any:
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        with open(read, "rb", 0) as reader, open(write, "wb", 0) as writer:  # noqa: PTH123
            calls = [
                loop.create_datagram_endpoint(factory, local_addr=(HOST, 0)),
                loop.connect_read_pipe(factory, reader),
                loop.connect_write_pipe(factory, writer),
            ]
            return [(await attempt(call))[1] for call in calls]

    _, outcomes = same_on_both(scenario)
    assert "made" not in outcomes


@pytest.mark.parametrize("factory", FACTORIES_OF_NOTHING, ids=["raising", "None", "5", "object"])
def test_subprocesses_with_such_factories(run_native: Run, factory: Callable[[], Any]) -> None:
    """Stock asyncio waits for ever for a child of which it cannot tell the protocol.

    Of one that ended before the transport is connected the protocol would be told, and that be reported.
    """

    async def main() -> None:
        call = asyncio.get_running_loop().subprocess_exec(factory, "sleep", "60")
        assert (await attempt(call))[1] != "made"

    run_native(main())


@pytest.mark.skipif(
    (3, 13) <= sys.version_info < (3, 13, 15),
    reason="stock asyncio counts wrongly what waits, and never resumes",
)
@cases(Datagrams)
def test_datagrams(tmp_path: Path, method: str, way: str) -> None:
    async def scenario() -> Any:
        loop = asyncio.get_running_loop()
        near, far = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
        for sock, other in [(near, "near"), (far, "far")]:
            (tmp_path / other).unlink(missing_ok=True)
            sock.bind(str(tmp_path / other))
        near.connect(str(tmp_path / "far"))
        far.connect(str(tmp_path / "near"))
        near.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000)
        far.settimeout(0)
        protocol = broken(Datagrams, method, way)()
        with far, near:
            made, outcome = await attempt(
                loop.create_datagram_endpoint(lambda: protocol, sock=near)
            )
            if made is None:
                return outcome
            transport = made[0]
            for _ in range(2):
                far.send(b"x")
                await looks(5)
            transport.set_write_buffer_limits(0)
            while not transport.get_write_buffer_size():
                transport.sendto(bytes(1000))
                await looks(2)
            while transport.get_write_buffer_size():
                with contextlib.suppress(BlockingIOError):
                    far.recv(2000)
                await looks(5)
            transport.close()
            await looks(5)
            return outcome, protocol.events

    same_on_both(scenario)


@pytest.mark.parametrize("way", WAYS)
def test_errors_of_datagrams(way: str) -> None:
    async def scenario() -> Any:
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as nobody:
            nobody.bind((HOST, 0))
            address = nobody.getsockname()
        protocol: Any = broken(Datagrams, "error_received", way)()
        transport, _ = await loop.create_datagram_endpoint(lambda: protocol, remote_addr=address)
        transport.sendto(b"x")
        await looks(10)
        transport.close()
        await looks(5)
        return protocol.events

    said, _ = same_on_both(scenario)
    assert len(said) == (way != "returns")


@pytest.mark.parametrize(
    ("method", "way"),
    [(method, way) for method in methods_of(Pipe) for way in WAYS if "writing" not in method],
)
def test_read_pipes(method: str, way: str) -> None:
    async def scenario() -> Any:
        read, write = os.pipe()
        protocol = broken(Pipe, method, way)()
        with open(read, "rb", 0) as file:  # noqa: PTH123
            call = asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
            made, outcome = await attempt(call)
            if made is not None:
                for _ in range(2):
                    os.write(write, b"x")
                    await looks(5)
            os.close(write)
            if made is not None:
                await until(made[0].is_closing)
                await looks(5)
        return outcome, "lost" in protocol.events or stock_gives_up(method, way)

    same_on_both(scenario, nameless=method == "eof_received")


@pytest.mark.parametrize(
    ("method", "way"), [(method, way) for method in methods_of(Sound) for way in WAYS]
)
def test_write_pipes(method: str, way: str) -> None:
    async def scenario() -> Any:
        read, write = os.pipe()
        os.set_blocking(read, False)
        protocol = broken(Sound, method, way)()
        with open(write, "wb", 0) as file:  # noqa: PTH123
            call = asyncio.get_running_loop().connect_write_pipe(lambda: protocol, file)
            made, outcome = await attempt(call)
            if made is not None:
                made[0].write(bytes(FLOOD))
                while made[0].get_write_buffer_size():
                    with contextlib.suppress(BlockingIOError):
                        os.read(read, 100_000)
                    await asyncio.sleep(0)
                made[0].close()
                await looks(5)
            os.close(read)
        return outcome, protocol.events

    same_on_both(scenario)


@cases(Process)
def test_subprocesses(method: str, way: str) -> None:
    if method == "connection_made" and way in ("missing", "lookup") and sys.version_info < (3, 14):
        pytest.skip("stock asyncio waits for ever")

    async def scenario() -> Any:
        loop = asyncio.get_running_loop()
        protocol = broken(Process, method, way)()
        made, outcome = await attempt(loop.subprocess_exec(lambda: protocol, "cat"))
        if made is None:
            await looks(5)
            return outcome, protocol.events
        transport = made[0]
        pipes = [transport.get_pipe_transport(fd) for fd in range(3)]
        pipes[0].write(bytes(FLOOD if "writing" in method else 1))
        if "writing" in method:
            await until(lambda: pipes[0].get_write_buffer_size() == 0)
        else:
            await until(lambda: "data" in protocol.events or method == "pipe_data_received")
        pipes[0].close()
        await until(lambda: all(pipe.get_protocol() is None for pipe in pipes))
        await until(lambda: transport.get_returncode() is not None)
        await looks(10)
        transport.close()
        return outcome, "lost" in protocol.events or stock_gives_up(method, way)

    same_on_both(scenario, nameless=method == "process_exited")


class Executor:
    """An executor in name only."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def submit(self, *_: object) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [None, 5, ArithmeticError("no")], ids=repr)
def test_executors(answer: object) -> None:
    async def scenario() -> Any:
        loop = asyncio.get_running_loop()

        async def call() -> None:
            await loop.run_in_executor(Executor(answer), print)  # type: ignore[arg-type]

        return (await attempt(call()))[1]

    _, outcome = same_on_both(scenario)
    assert outcome != "made"
