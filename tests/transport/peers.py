"""Transports over raw sockets, and what the peer does at the other end."""

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

from tests.support.loops import HOST, PATIENCE, until


def tcp_pair(
    *, send_buffer: int = 0, receive_buffer: int = 0
) -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a TCP connection: ours, and the peer's."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        if receive_buffer:
            # Accepted sockets inherit it; afterwards the window would be announced already.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        listener.listen(1)
        # The protocol by name: stock asyncio switches Nagle off only then.
        near = socket.socket(proto=socket.IPPROTO_TCP)
        if send_buffer:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        near.connect(listener.getsockname())
        peer, _ = listener.accept()
    near.setblocking(False)
    peer.settimeout(PATIENCE)
    return near, peer


async def attach(sock: socket.socket, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
    """Put a transport on a connected socket."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
    return transport


async def gone(transport: asyncio.BaseTransport) -> None:
    """Wait for the transport's very end: it lets its protocol go then."""
    await until(lambda: transport.get_protocol() is None)


@contextlib.asynccontextmanager
async def connected(
    protocol: asyncio.BaseProtocol, *, small: bool = False
) -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    """A transport with ``protocol`` and the peer's socket; ``small`` buffers fill at once."""
    size = 4096 if small else 0
    near, peer = tcp_pair(send_buffer=size, receive_buffer=size)
    transport = None
    try:
        transport = await attach(near, protocol)
        yield transport, peer
    finally:
        peer.close()
        # Stock asyncio trips over an abort after the end.
        if transport is None:
            near.close()
        elif transport.get_protocol() is not None:
            transport.abort()
            await gone(transport)


def reset(peer: socket.socket) -> None:
    """Close a socket so that its peer gets RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def read_exactly(peer: socket.socket, count: int) -> bytes:
    """Read in a thread until ``count`` bytes have come, or the end."""

    def read() -> bytes:
        received = bytearray()
        while len(received) < count:
            data = peer.recv(min(1 << 20, count - len(received)))
            if not data:
                break
            received += data
        return bytes(received)

    return await asyncio.to_thread(read)


async def read_all(peer: socket.socket) -> bytes:
    """Read in a thread until the end."""

    def read() -> bytes:
        received = bytearray()
        while data := peer.recv(1 << 20):
            received += data
        return bytes(received)

    return await asyncio.to_thread(read)


def nothing_to_read(peer: socket.socket) -> bool:
    """Whether nothing has come to the peer yet."""
    return not select.select([peer], [], [], 0)[0]


def segments_received(peer: socket.socket) -> int:
    """Return how many TCP segments with data have come to the peer."""
    information = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    assert len(information) >= 160, "this kernel does not count segments"
    count: int = struct.unpack_from("I", information, 152)[0]
    return count


def pattern(length: int) -> bytes:
    """Return bytes in which each place can be told from its neighbours."""
    unit = b"".join(number.to_bytes(4, "big") for number in range(1 << 14))
    return (unit * (length // len(unit) + 1))[:length]


def reports() -> list[dict[str, Any]]:
    """Collect what reaches the running loop's exception handler."""
    contexts: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    return contexts
