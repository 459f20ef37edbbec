"""Peers that send a byte at a time, and peers that never read."""

import asyncio
import socket
from typing import Any

import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import HOST, Run, until

TEXT = b"".join(b"line %d\n" % number for number in range(60))


class Filling(asyncio.BufferedProtocol):
    """Receives into memory of its own."""

    def __init__(self) -> None:
        self.data = b""
        self.buffer = bytearray(16)
        self.lost = False

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


async def dribble(sock: socket.socket, data: bytes) -> None:
    """Send ``data`` by single bytes, each in a turn of its own."""
    loop = asyncio.get_running_loop()
    for place in range(len(data)):
        await loop.sock_sendall(sock, data[place : place + 1])
        await asyncio.sleep(0)


def pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def test_bytes_into_the_protocols_memory(run: Run) -> None:
    async def main() -> None:
        near, far = pair()
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_unix_connection(Filling, sock=near)
        await dribble(far, TEXT)
        far.close()
        await until(lambda: protocol.lost)
        assert protocol.data == TEXT

    run(main())


def test_lines(run: Run) -> None:
    """``readline``, ``readuntil`` and ``readexactly`` wait as often as it takes."""

    async def main() -> None:
        near, far = pair()
        reader, writer = await asyncio.open_unix_connection(sock=near)
        sending = asyncio.ensure_future(dribble(far, TEXT))
        lines = TEXT.splitlines(keepends=True)
        assert await reader.readline() == lines[0]
        assert await reader.readuntil(b"2\n") == lines[1] + lines[2]
        assert await reader.readexactly(len(lines[3])) == lines[3]
        await sending
        far.close()
        assert [line async for line in reader] == lines[4:]
        writer.close()
        await writer.wait_closed()

    run(main())


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_writer_that_drains_keeps_little(run: Run, contexts: Contexts, secure: bool) -> None:
    """A peer never reads: what waits for it is bounded, and aborting lets go of it."""
    silent: list[Any] = []
    piece = 50_000

    class Silent(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            silent.append(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            silent.append("lost")

    async def write(writer: asyncio.StreamWriter, written: list[int]) -> None:
        while True:
            writer.write(bytes(piece))
            written[0] += piece
            await writer.drain()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        keywords: dict[str, Any] = {}
        server_keywords: dict[str, Any] = {}
        if secure:
            keywords = {"ssl": contexts.client(), "server_hostname": NAME}
            server_keywords = {"ssl": contexts.server()}
        server = await loop.create_server(Silent, HOST, 0, **server_keywords)
        address = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(*address, **keywords)
        transport: Any = writer.transport
        _, high = transport.get_write_buffer_limits()
        written = [0]
        writing = asyncio.ensure_future(write(writer, written))
        # It has come to rest once nothing was written for a while.
        before = -1
        while before != written[0]:
            before = written[0]
            await asyncio.sleep(0.05)
        assert not writing.done()
        assert 0 < transport.get_write_buffer_size() <= high + piece
        transport.abort()
        with pytest.raises(ConnectionError):
            await writing
        silent[0].abort()
        await until(lambda: "lost" in silent)
        server.close()
        await server.wait_closed()

    run(main())
