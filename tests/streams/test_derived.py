"""What a program overrides is called, and what it derives from the standard classes goes on working."""

import asyncio
import contextlib
from typing import Any

import ouroloop
import pytest

from tests.support.loops import HOST, Run

from .conftest import World, serving
from .test_connections import connected, echo


def test_a_reader_that_is_fed_by_its_own_method(world: World, run: Run) -> None:
    class Reader(world.StreamReader):  # type: ignore[misc,name-defined]
        def feed_data(self, data: bytes) -> None:
            fed.append(bytes(data))
            super().feed_data(data.upper())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reader = Reader(loop=loop)
        protocol = world.StreamReaderProtocol(reader, loop=loop)
        async with serving(world.start_server, echo) as port:
            transport, _ = await loop.create_connection(lambda: protocol, HOST, port)
            transport.write(b"abc\n")
            assert await reader.readline() == b"ABC\n"
            transport.close()
            await protocol._get_close_waiter(None)

    fed: list[bytes] = []
    run(main())
    assert b"".join(fed) == b"abc\n"


def recording(world: World, calls: list[str]) -> Any:
    """A protocol's class that notes which of its methods are called."""

    class Protocol(world.StreamReaderProtocol):  # type: ignore[misc,name-defined]
        def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
            super().__init__(world.StreamReader(loop=loop), self.on_connected, loop)
            self.name = name
            self._over_ssl = True

        def on_connected(self, reader: Any, writer: Any) -> None:
            self.streams = reader, writer
            calls.append("connected")

        def connection_made(self, transport: Any) -> None:
            calls.append("made")
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            calls.append("data")
            super().data_received(data)

        def eof_received(self) -> bool | None:
            calls.append("eof")
            return super().eof_received()  # type: ignore[no-any-return]

        def connection_lost(self, exc: BaseException | None) -> None:
            calls.append("lost")
            super().connection_lost(exc)

    return Protocol


def test_a_protocol_with_methods_of_its_own(world: World, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        protocols: list[Any] = []

        def factory() -> Any:
            protocols.append(recording(world, calls)("server", loop))
            return protocols[-1]

        server = await loop.create_server(factory, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        _, writer = await world.open_connection(HOST, port)
        writer.write(b"a line\n")
        writer.write_eof()
        while not protocols:
            await asyncio.sleep(0)
        (protocol,) = protocols
        while not hasattr(protocol, "streams"):
            await asyncio.sleep(0)
        reader, answer = protocol.streams
        assert await reader.readline() == b"a line\n"
        assert await reader.read() == b""
        answer.close()
        await answer.wait_closed()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        assert calls == ["made", "connected", "data", "eof", "lost"]
        assert protocol.name == "server"

    calls: list[str] = []
    run(main())


def test_attributes_of_an_object_count(world: World, run: Run) -> None:
    async def main() -> None:
        async with connected(world, echo) as (reader, writer):
            writer.write(b"first")
            assert await reader.readexactly(5) == b"first"
            feed = reader.feed_data

            def listen(data: bytes) -> None:
                heard.append(bytes(data))
                feed(data)

            reader.feed_data = listen
            writer.write(b"second")
            assert await reader.readexactly(6) == b"second"
            del reader.feed_data
            writer.write(b"third")
            assert await reader.readexactly(5) == b"third"

    heard: list[bytes] = []
    run(main())
    assert heard == [b"second"]


def test_a_patched_class_counts(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = world.StreamReader.feed_data

    def listen(self: Any, data: bytes) -> None:
        heard.append(bytes(data))
        feed(self, data)

    async def main() -> None:
        async with connected(world, echo) as (reader, writer):
            monkeypatch.setattr(world.StreamReader, "feed_data", listen)
            writer.write(b"abc")
            assert await reader.readexactly(3) == b"abc"
            monkeypatch.undo()
            writer.write(b"def")
            assert await reader.readexactly(3) == b"def"

    heard: list[bytes] = []
    run(main())
    assert heard == [b"abc"] * 2


def test_a_writer_with_methods_of_its_own(world: World, run: Run) -> None:
    class Writer(world.StreamWriter):  # type: ignore[misc,name-defined]
        async def drain(self) -> None:
            drained.append(self._transport.is_closing())
            await super().drain()

        def write(self, data: bytes) -> None:
            super().write(data.upper())

    async def main() -> None:
        async with connected(world, echo) as (reader, writer):
            loop = asyncio.get_running_loop()
            own = Writer(writer.transport, writer._protocol, reader, loop)
            own.write(b"abc")
            await own.drain()
            assert await reader.readexactly(3) == b"ABC"

    drained: list[bool] = []
    run(main())
    assert drained == [False]


def test_classes_derived_from_the_standard_ones_go_on_working() -> None:
    class Reader(asyncio.StreamReader):
        def feed_data(self, data: Any) -> None:
            super().feed_data(bytes(data).upper())

    class Protocol(asyncio.StreamReaderProtocol):
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reader = Reader()
        protocol = Protocol(reader, loop=loop)
        async with serving(asyncio.start_server, echo) as port:
            transport, _ = await loop.create_connection(lambda: protocol, HOST, port)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            assert type(writer) is ouroloop.StreamWriter
            assert isinstance(reader, asyncio.StreamReader)
            assert isinstance(protocol, asyncio.StreamReaderProtocol)
            writer.write(b"abc\n")
            await writer.drain()
            assert await reader.readline() == b"ABC\n"
            writer.close()
            await writer.wait_closed()

    ouroloop.install()
    with asyncio.Runner() as runner:
        runner.run(main())


def test_a_protocol_that_controls_flow_by_itself(world: World, run: Run) -> None:
    class Protocol(asyncio.streams.FlowControlMixin):
        def _get_close_waiter(self, stream: Any) -> Any:
            return closed

    async def hold(reader: Any, _: Any) -> None:
        with contextlib.suppress(OSError):
            await go_on.wait()
            await reader.read()

    async def main() -> None:
        nonlocal closed
        loop = asyncio.get_running_loop()
        closed = loop.create_future()
        closed.set_result(None)
        async with serving(world.start_server, hold) as port:
            transport, protocol = await loop.create_connection(Protocol, HOST, port)
            writer = world.StreamWriter(transport, protocol, None, loop)
            while not protocol._paused:
                writer.write(bytes(100_000))
            drain = asyncio.create_task(writer.drain())
            await asyncio.sleep(0)
            assert not drain.done()
            transport.abort()
            await drain
            await writer.wait_closed()
            go_on.set()

    closed: Any = None
    go_on = asyncio.Event()
    run(main())
