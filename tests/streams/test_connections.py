"""Streams over real connections: TCP, Unix sockets, TLS, the pipes of a subprocess."""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ouroloop
import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import HOST, Run

from .conftest import Handler, World, serving


@asynccontextmanager
async def connected(
    world: World, handler: Handler, *, client: dict[str, Any] | None = None, **server: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """A server that calls ``handler``, which ends with the connection, and a client's streams to it."""
    async with serving(world.start_server, handler, **server) as port:
        reader, writer = await world.open_connection(HOST, port, **(client or {}))
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def echo(reader: Any, writer: Any) -> None:
    """Send back what comes, and end when it ends."""
    while data := await reader.read(64 * 1024):
        writer.write(data)
        await writer.drain()
    writer.close()


async def converse(reader: Any, writer: Any) -> list[Any]:
    """Use every way to read against an echo."""
    writer.write(b"one\ntwo\nthree|four")
    answers: list[Any] = [await reader.readline(), await anext(reader)]
    answers += [await reader.readuntil(b"|"), await reader.readexactly(4)]
    writer.writelines([b"a" * 300_000, b"\n"])
    if writer.can_write_eof():
        writer.write_eof()
        await writer.drain()
        rest = await reader.read()
    else:
        rest = await reader.readexactly(300_001)
    return [*answers, len(rest), set(rest), writer.get_extra_info("socket") is not None]


EXPECTED = [b"one\n", b"two\n", b"three|", b"four", 300_001, {97, 10}, True]


def test_tcp(world: World, run: Run) -> None:
    async def main() -> None:
        async with connected(world, echo) as (reader, writer):
            assert await converse(reader, writer) == EXPECTED
            assert await reader.read() == b""
            assert reader.at_eof()

    run(main())


def test_unix(world: World, run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "socket"
        server = await world.start_unix_server(echo, path)
        reader, writer = await world.open_unix_connection(path)
        assert await converse(reader, writer) == EXPECTED
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


def test_tls(world: World, run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        client = {"ssl": contexts.client(), "server_hostname": NAME}
        async with connected(world, echo, client=client, ssl=contexts.server()) as streams:
            assert await converse(*streams) == EXPECTED

    run(main())


def test_start_tls_on_both_sides(world: World, run: Run, contexts: Contexts) -> None:
    async def upgrade(reader: Any, writer: Any) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go on\n")
        await writer.start_tls(contexts.server())
        assert reader._transport is writer.transport or sys.version_info < (3, 14)
        await echo(reader, writer)

    async def main() -> None:
        async with connected(world, upgrade) as (reader, writer):
            before = writer.transport
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go on\n"
            await writer.start_tls(contexts.client(), server_hostname=NAME)
            assert writer.transport is not before
            assert writer.get_extra_info("sslcontext") is not None
            writer.write(b"secret\n")
            assert await reader.readline() == b"secret\n"

    run(main())


@pytest.mark.parametrize("installed", [False, True])
def test_subprocess(installed: bool) -> None:
    program = (
        "import sys\n"
        "for line in sys.stdin: print(line.strip()[::-1], flush=True)\n"
        "print('end', file=sys.stderr)"
    )

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, **dict.fromkeys(("stdin", "stdout", "stderr"), -1)
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert (type(process.stdout) is ouroloop.StreamReader) is installed
        assert (type(process.stdin) is ouroloop.StreamWriter) is installed
        process.stdin.write(b"abc\n")
        await process.stdin.drain()
        assert await process.stdout.readline() == b"cba\n"
        assert await process.communicate(b"x" * 200_000 + b"y\n") == (
            b"y" + b"x" * 200_000 + b"\n",
            b"end\n",
        )
        assert process.stdout.at_eof()
        assert await process.wait() == 0

    if installed:
        ouroloop.install()
    with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
        runner.run(main())


def test_pipes(world: World, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        source, drain = os.pipe()
        reader = world.StreamReader(loop=loop)
        protocol = world.StreamReaderProtocol(reader, loop=loop)
        reading, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(source, "rb", 0))
        flow: Any = asyncio.streams.FlowControlMixin
        writing, control = await loop.connect_write_pipe(flow, os.fdopen(drain, "wb", 0))
        writer = world.StreamWriter(writing, control, reader, loop)
        writer.write(b"one\n" + b"x" * 500_000)
        assert await reader.readline() == b"one\n"
        assert len(await reader.readexactly(500_000)) == 500_000
        await writer.drain()
        writer.close()
        assert await reader.read() == b""
        reading.close()
        await protocol._get_close_waiter(None)

    run(main())


def test_a_slow_reader_pauses_the_connection(world: World, run: Run) -> None:
    limit, total = 1000, 4_000_000

    async def main() -> None:
        async def serve(_: Any, writer: Any) -> None:
            writer.write(bytes(total))
            sent.set()
            await writer.drain()
            drained.set()
            writer.close()

        sent, drained = asyncio.Event(), asyncio.Event()
        async with connected(world, serve, client={"limit": limit}) as (reader, _):
            await sent.wait()
            while not reader._paused:
                await asyncio.sleep(0)
            assert len(reader._buffer) > 2 * limit
            assert not reader._transport.is_reading()
            assert not drained.is_set()
            assert len(await reader.readexactly(3_000_000)) == 3_000_000
            assert len(await reader.read()) == total - 3_000_000
            await drained.wait()

    run(main())


def test_a_reset_is_raised_by_whoever_waits(world: World, run: Run) -> None:
    async def main() -> None:
        async def reset(_: Any, writer: Any) -> None:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

        async with connected(world, reset) as (reader, writer):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            assert isinstance(reader.exception(), ConnectionResetError)
            with pytest.raises(ConnectionResetError):
                await writer.drain()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()

    run(main())


def test_drain_after_close(world: World, run: Run) -> None:
    async def main() -> None:
        async with connected(world, echo) as (_, writer):
            writer.close()
            assert writer.is_closing()
            with pytest.raises(ConnectionResetError, match="Connection lost"):
                await writer.drain()

    run(main())


def test_many_drain_and_one_is_cancelled(world: World, run: Run) -> None:
    async def main() -> None:
        async def sink(reader: Any, writer: Any) -> None:
            await go_on.wait()
            await reader.read()
            writer.close()

        go_on = asyncio.Event()
        async with connected(world, sink) as (_, writer):
            while not writer._protocol._paused:
                writer.write(bytes(100_000))
            tasks = [asyncio.create_task(writer.drain()) for _ in range(3)]
            await asyncio.sleep(0)
            assert len(writer._protocol._drain_waiters) == 3
            tasks[1].cancel()
            await asyncio.wait([tasks[1]])
            assert len(writer._protocol._drain_waiters) == 2
            go_on.set()
            await asyncio.gather(tasks[0], tasks[2])
            assert len(writer._protocol._drain_waiters) == 0
            assert writer._protocol._paused is False

    run(main())


def test_second_reader_is_refused(world: World, run: Run) -> None:
    async def main() -> None:
        async with connected(world, echo) as (reader, _):
            first = asyncio.create_task(reader.read(1))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError) as caught:
                await reader.readline()
            message = "readuntil() called while another coroutine is already waiting"
            assert str(caught.value) == f"{message} for incoming data"
            first.cancel()

    run(main())


def test_a_cancelled_read_loses_nothing(world: World, run: Run) -> None:
    async def main() -> None:
        async with connected(world, echo) as (reader, writer):
            first = asyncio.create_task(reader.readexactly(8))
            writer.write(b"abcd")
            while len(reader._buffer) < 4:
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            writer.write(b"efgh")
            assert await reader.readexactly(8) == b"abcdefgh"

    run(main())


def test_what_waits_at_once_is_read_without_a_turn(world: World, run: Run) -> None:
    async def main() -> None:
        reader = world.StreamReader(loop=asyncio.get_running_loop())
        reader.feed_data(b"one\ntwo")
        turns = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        assert await reader.readline() == b"one\n"
        assert await reader.read(2) == b"tw"
        assert await reader.readexactly(1) == b"o"
        assert turns == []

    run(main())


def test_one_piece_is_one_object() -> None:
    async def main() -> None:
        reader = ouroloop.StreamReader()
        piece = b"a piece\n"
        for read in (lambda: reader.read(100), reader.readline, lambda: reader.readexactly(8)):
            reader.feed_data(piece)
            assert await read() is piece

    ouroloop.run(main())
