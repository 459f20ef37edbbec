"""Protocols that keep what they are told, servers with TLS, and peers that speak it by hand."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.support.certificates import NAME, Contexts
from tests.support.loops import HOST, PATIENCE, until
from tests.support.protocols import Life


class Refilling(Life, asyncio.BufferedProtocol):
    """Receives into the same memory, time and again."""

    def __init__(self, size: int = 1000) -> None:
        super().__init__()
        self.data = b""
        self.buffer = memoryview(bytearray(size))

    def get_buffer(self, _sizehint: int) -> Any:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]


@contextlib.asynccontextmanager
async def serving(
    contexts: Contexts, kind: Callable[[], Any], **options: Any
) -> AsyncIterator[tuple[tuple[str, int], list[Any]]]:
    """Serve protocols of ``kind`` by TLS; give the address and the protocols made."""
    made: list[Any] = []

    def factory() -> Any:
        made.append(kind())
        return made[-1]

    loop = asyncio.get_running_loop()
    context = options.pop("ssl", None) or contexts.server()
    server = await loop.create_server(factory, HOST, 0, ssl=context, **options)
    try:
        yield server.sockets[0].getsockname(), made
    finally:
        server.close()
        await server.wait_closed()
        await until(lambda: all(not p.calls or p.calls[-1] == "lost" for p in made))


async def connect(
    contexts: Contexts, kind: Callable[[], Any], address: tuple[str, int], **options: Any
) -> Any:
    """Connect a protocol of ``kind`` by TLS."""
    loop = asyncio.get_running_loop()
    options = {"ssl": contexts.client(), "server_hostname": NAME} | options
    _, protocol = await loop.create_connection(kind, *address, **options)
    return protocol


class ByHand:
    """A peer that holds the TLS records in its hands: what is sent, and when, is the test's choice."""

    def __init__(self, contexts: Contexts, sock: socket.socket, *, server_side: bool) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = contexts.server() if server_side else contexts.client()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=None if server_side else NAME,
        )

    async def send(self, piece: int = 1 << 20) -> None:
        """Send the records that are ready, ``piece`` bytes at a time."""
        loop = asyncio.get_running_loop()
        data = self.outgoing.read()
        for start in range(0, len(data), piece):
            await loop.run_in_executor(None, self._send_all, data[start : start + piece])

    def _send_all(self, data: bytes) -> None:
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.sendall(data)
        finally:
            self.sock.setblocking(False)

    async def receive(self) -> bytes:
        """Take in what has come, at least one byte; answer it."""
        data = b""

        def came() -> bool:
            nonlocal data
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                return False
            return True

        await until(came)
        if data:
            self.incoming.write(data)
        return data

    async def handshake(self, piece: int = 1 << 20) -> None:
        """Go through the handshake."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.send(piece)
                await self.receive()
            else:
                break
        await self.send(piece)

    async def read(self, size: int) -> bytes:
        """Read ``size`` bytes of the other side's."""
        data = b""
        while len(data) < size:
            try:
                data += self.tls.read(size - len(data))
            except ssl.SSLWantReadError:
                assert await self.receive(), "the stream ended"
        return data

    def close(self) -> None:
        """Close the socket without a word of TLS."""
        self.sock.close()


def listening() -> socket.socket:
    """Make a listening socket on which nobody accepts."""
    sock = socket.socket()
    sock.bind((HOST, 0))
    sock.listen()
    return sock


async def accepted(sock: socket.socket) -> socket.socket:
    """Accept a connection."""
    loop = asyncio.get_running_loop()
    sock.settimeout(PATIENCE)
    return (await loop.run_in_executor(None, sock.accept))[0]
