"""Protocols that keep what they are told, and the raw sockets at the other end."""

import asyncio
import contextlib
import re
import select
import socket
from collections.abc import AsyncIterator
from typing import Any

from tests.support.loops import HOST, PATIENCE, until
from tests.support.protocols import Called


def exactly(message: str) -> str:
    """Return the pattern of an error whose whole text is ``message``."""
    return f"^{re.escape(message)}$"


class Recorder(Called, asyncio.DatagramProtocol):
    """Keeps what it is told, in order."""

    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []

    @property
    def contents(self) -> list[bytes]:
        return [data for data, _ in self.received]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.calls.append("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        assert type(data) is bytes
        self.received.append((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.calls.append("error")


class Echo(Recorder):
    """Sends back what comes."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        super().datagram_received(data, addr)
        self.transport.sendto(data, addr)


def udp(family: int = socket.AF_INET, host: str = HOST) -> socket.socket:
    """Bind a raw socket that does not wait for ever."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(PATIENCE)
    return sock


def unix_pair(*, buffer: int = 0) -> tuple[socket.socket, socket.socket]:
    """Connect two Unix datagram sockets by abstract names of the kernel's choice."""
    near, far = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (near, far):
        sock.bind("")
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    near.connect(far.getsockname())
    far.connect(near.getsockname())
    near.setblocking(False)
    far.settimeout(PATIENCE)
    return near, far


async def gone(transport: asyncio.BaseTransport) -> None:
    """Wait for the transport's very end: it lets its protocol go then."""
    await until(lambda: transport.get_protocol() is None)


@contextlib.asynccontextmanager
async def endpoint(
    protocol: asyncio.BaseProtocol | None = None, **keywords: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """An endpoint of :class:`Recorder`, or of ``protocol``, on some port unless told otherwise."""
    protocol = protocol or Recorder()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: protocol, **(keywords or {"local_addr": (HOST, 0)})
    )
    try:
        yield transport, protocol
    finally:
        # Stock asyncio trips over an abort after the end.
        if transport.get_protocol() is not None:
            transport.abort()
            await gone(transport)


def name_of(transport: asyncio.BaseTransport) -> Any:
    return transport.get_extra_info("sockname")


def nothing_to_read(peer: socket.socket) -> bool:
    """Whether nothing has come to the peer yet."""
    return not select.select([peer], [], [], 0)[0]


def reports() -> list[dict[str, Any]]:
    """Collect what reaches the running loop's exception handler."""
    contexts: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    return contexts
