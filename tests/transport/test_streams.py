"""The standard library's streams on these transports."""

import asyncio
import socket

import pytest

from tests.support.loops import HOST, Run, turns, until

from .peers import pattern, read_exactly, reset, tcp_pair


async def streams(
    *, limit: int = 2**16, small: bool = False
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]:
    """Open streams on a connection, and give the peer's raw socket."""
    size = 4096 if small else 0
    near, peer = tcp_pair(send_buffer=size, receive_buffer=size)
    reader, writer = await asyncio.open_connection(sock=near, limit=limit)
    return reader, writer, peer


async def done(writer: asyncio.StreamWriter, peer: socket.socket) -> None:
    peer.close()
    writer.close()
    await writer.wait_closed()


def test_reading_in_every_way(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await streams()
        peer.sendall(b"first line\nsecond")
        assert await reader.readline() == b"first line\n"
        waiting = asyncio.ensure_future(reader.readline())
        await turns(10)
        assert not waiting.done()
        peer.sendall(b" line\nabc;def;12345rest")
        assert await waiting == b"second line\n"
        assert await reader.readuntil(b";") == b"abc;"
        assert await reader.readuntil(b";") == b"def;"
        assert await reader.readexactly(5) == b"12345"
        assert await reader.read(2) == b"re"
        assert await reader.readexactly(0) == b""
        peer.shutdown(socket.SHUT_WR)
        assert await reader.read() == b"st"
        assert reader.at_eof()
        assert await reader.read() == b""
        assert await reader.readline() == b""
        await done(writer, peer)

    run(main())


def test_lines_by_iteration(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await streams()
        lines = [b"%d\n" % number for number in range(2000)]
        peer.sendall(b"".join(lines) + b"no end")
        peer.shutdown(socket.SHUT_WR)
        assert [line async for line in reader] == [*lines, b"no end"]
        await done(writer, peer)

    run(main())


def test_an_end_in_the_middle(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await streams()
        peer.sendall(b"half")
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(asyncio.IncompleteReadError) as error:
            await reader.readexactly(10)
        assert (error.value.partial, error.value.expected) == (b"half", 10)
        with pytest.raises(asyncio.IncompleteReadError) as error:
            await reader.readuntil(b";")
        assert error.value.partial == b""
        await done(writer, peer)

    run(main())


def test_lines_beyond_the_limit(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await streams(limit=16)
        peer.sendall(b"x" * 20 + b"\nnext\n")
        with pytest.raises(ValueError, match="longer than limit"):
            await reader.readline()
        assert await reader.readline() == b"next\n"
        peer.sendall(b"y" * 20 + b";")
        with pytest.raises(asyncio.LimitOverrunError):
            await reader.readuntil(b";")
        assert await reader.readexactly(21) == b"y" * 20 + b";"
        await done(writer, peer)

    run(main())


def test_a_full_reader_stops_the_peer(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await streams(limit=1000)
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        data = pattern(20_000_000)
        sending = asyncio.ensure_future(asyncio.to_thread(peer.sendall, data))
        await until(lambda: not transport.is_reading())
        await turns(20)
        assert not transport.is_reading()
        assert not sending.done()
        assert await reader.readexactly(len(data)) == data
        await sending
        assert transport.is_reading()
        await done(writer, peer)

    run(main())


def test_drain_waits_for_a_slow_reader(run: Run) -> None:
    async def main() -> None:
        _, writer, peer = await streams(small=True)
        data = pattern(2_000_000)
        writer.write(data)
        drained = asyncio.ensure_future(writer.drain())
        also = asyncio.ensure_future(writer.drain())
        await turns(20)
        assert not drained.done()
        # The mark lies below what was sent in all.
        assert await read_exactly(peer, 100_000) == data[:100_000]
        assert not drained.done()
        assert await read_exactly(peer, len(data) - 100_000) == data[100_000:]
        await drained
        await also
        await writer.drain()
        await done(writer, peer)

    run(main())


def test_drain_after_each_write_keeps_the_buffer_small(run: Run) -> None:
    async def main() -> None:
        _, writer, peer = await streams(small=True)
        reading = asyncio.ensure_future(read_exactly(peer, 300 * 10_000))
        highest = 0
        for number in range(300):
            writer.write(number.to_bytes(2, "big") * 5000)
            highest = max(highest, writer.transport.get_write_buffer_size())
            await writer.drain()
        expected = b"".join(number.to_bytes(2, "big") * 5000 for number in range(300))
        assert await reading == expected
        assert highest <= 64 * 1024 + 10_000
        await done(writer, peer)

    run(main())


def test_drain_of_a_lost_connection_raises(run: Run) -> None:
    async def main() -> None:
        _, writer, peer = await streams(small=True)
        writer.write(bytes(1_000_000))
        drained = asyncio.ensure_future(writer.drain())
        await turns()
        assert not drained.done()
        reset(peer)
        with pytest.raises(ConnectionError):
            await drained
        with pytest.raises(ConnectionError):
            await writer.drain()
        with pytest.raises(ConnectionError):
            await writer.wait_closed()

    run(main())


def test_a_reset_reaches_the_reader(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await streams()
        waiting = asyncio.ensure_future(reader.readline())
        await turns()
        reset(peer)
        with pytest.raises(ConnectionResetError):
            await waiting
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()

    run(main())


def test_wait_closed_waits_for_what_waits(run: Run) -> None:
    async def main() -> None:
        _, writer, peer = await streams(small=True)
        data = pattern(1_000_000)
        writer.write(data)
        writer.close()
        assert writer.is_closing()
        waiting = asyncio.ensure_future(writer.wait_closed())
        await turns(20)
        assert not waiting.done()
        assert await read_exactly(peer, len(data)) == data
        await waiting
        peer.close()

    run(main())


def test_write_eof_and_half_close(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await streams()
        assert writer.can_write_eof()
        writer.writelines([b"question", b"?"])
        writer.write_eof()
        assert await read_exactly(peer, 100) == b"question?"
        peer.sendall(b"answer")
        peer.close()
        assert await reader.read() == b"answer"
        writer.close()
        await writer.wait_closed()

    run(main())


def test_a_server_of_streams(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def visit(address: tuple[str, int], number: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for turn in range(20):
            writer.write(b"visitor %d turn %d\n" % (number, turn))
            assert await reader.readline() == b"VISITOR %d TURN %d\n" % (number, turn)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(serve, HOST, 0) as server:
            address = server.sockets[0].getsockname()
            await asyncio.gather(*(visit(address, number) for number in range(50)))

    run(main())


def test_a_cancelled_read_loses_nothing(run: Run) -> None:
    async def main() -> None:
        reader, writer, peer = await streams()
        for number in range(50):
            waiting = asyncio.ensure_future(reader.readexactly(4))
            await turns()
            peer.sendall(number.to_bytes(2, "big"))
            await turns(5)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            peer.sendall(b"..")
            assert await reader.readexactly(4) == number.to_bytes(2, "big") + b".."
        await done(writer, peer)

    run(main())
