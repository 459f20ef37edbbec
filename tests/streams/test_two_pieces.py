"""More comes with one read of the socket than the coroutine that waits for it has asked for."""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.loops import HOST, Run, until

from .conftest import World, serving

PIECE = 64 * 1024
DATA = random.Random(1).randbytes(PIECE + 36_000)
END = len(DATA)

Use = Callable[[Any], Awaitable[object]]


async def _fed_by_hand(reader: Any) -> object:
    reader.feed_data(b"by hand")
    return await reader.read(1 << 20)


async def _shown(reader: Any) -> object:
    return bytes(reader._buffer), await reader.read(10), bytes(reader._buffer)


async def _until(reader: Any) -> object:
    separator = DATA[PIECE - 5 : PIECE + 5]
    return await reader.readuntil(separator), await reader.readexactly(END - PIECE - 5)


async def _exactly(reader: Any) -> object:
    return [await reader.readexactly(n) for n in (PIECE, 1, END - PIECE - 1)]


async def _across(reader: Any) -> object:
    return [await reader.readexactly(n) for n in (PIECE - 1, 2, END - PIECE - 1)]


async def _small(reader: Any) -> object:
    return [await reader.read(n) for n in (10, PIECE, 1 << 20)]


async def _pieces(reader: Any) -> object:
    return [await reader.read(PIECE), repr(reader).split()[1], await reader.read(PIECE)]


async def _all(reader: Any) -> object:
    reader.feed_eof()
    return await reader.read()


USES: dict[str, Use] = {
    use.__name__.strip("_"): use
    for use in (_fed_by_hand, _shown, _until, _exactly, _across, _small, _pieces, _all)
}


async def _reader_with_two_pieces(world: World, use: Use) -> object:
    near, far = socket.socketpair()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    near.setblocking(False)
    far.setblocking(False)
    with far:
        reader, writer = await world.open_connection(sock=near)
        # The second read is told by the first that much comes.
        reading = asyncio.ensure_future(reader.read(PIECE))
        await asyncio.sleep(0)
        assert far.send(DATA[:PIECE]) == PIECE
        assert await reading == DATA[:PIECE]
        reading = asyncio.ensure_future(reader.read(PIECE))
        await asyncio.sleep(0)
        assert far.send(DATA) == END
        # This runs before the task that is woken, which is cancelled with all data still there.
        while "bytes" not in repr(reader):
            assert not reading.done()
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        await until(lambda: f"{END} bytes" in repr(reader))
        try:
            return await use(reader)
        finally:
            writer.close()


@pytest.mark.parametrize("use", USES)
def test_what_was_not_asked_for_is_kept(world: World, run: Run, use: str) -> None:
    expected = {
        "fed_by_hand": DATA + b"by hand",
        "shown": (DATA, DATA[:10], DATA[10:]),
        "until": (DATA[: PIECE + 5], DATA[PIECE + 5 :]),
        "exactly": [DATA[:PIECE], DATA[PIECE : PIECE + 1], DATA[PIECE + 1 :]],
        "across": [DATA[: PIECE - 1], DATA[PIECE - 1 : PIECE + 1], DATA[PIECE + 1 :]],
        "small": [DATA[:10], DATA[10 : PIECE + 10], DATA[PIECE + 10 :]],
        "pieces": [DATA[:PIECE], str(END - PIECE), DATA[PIECE:]],
        "all": DATA,
    }[use]
    assert run(_reader_with_two_pieces(world, USES[use])) == expected


def test_a_long_message_arrives_whole(world: World, run: Run) -> None:
    message = DATA * 40

    async def echo(reader: Any, writer: Any) -> None:
        while data := await reader.read(PIECE):
            assert len(data) <= PIECE
            writer.write(data)
            await writer.drain()

    async def main() -> None:
        async with serving(world.start_server, echo) as port:
            reader, writer = await world.open_connection(HOST, port)
            writer.write(message)
            writer.write_eof()
            assert await reader.read() == message
            writer.close()

    run(main())
