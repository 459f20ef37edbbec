"""Both ends of connections, and addresses that answer in every way."""

import asyncio
import contextlib
import select
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, ClassVar

from tests.support.loops import HOST


class Recorder(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("connection_made")

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("connection_lost")
        self.lost.set_result(exc)


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@contextlib.asynccontextmanager
async def echo_server(host: str = HOST) -> AsyncIterator[int]:
    """Serve echoes; the port."""
    server = await asyncio.get_running_loop().create_server(Echo, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Reserve a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Listen where a connection is neither accepted nor refused: the backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        while True:
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            if not select.select([], [filler], [], 0.05)[1]:
                break
        yield listener.getsockname()[1]


async def closed(transport: asyncio.BaseTransport, protocol: Any) -> None:
    """Close a connection and wait for its end."""
    transport.close()
    await protocol.lost


def answers(*infos: Any) -> Callable[..., Coroutine[Any, Any, list[Any]]]:
    """Make a ``getaddrinfo`` that answers ``infos``."""

    async def getaddrinfo(host: Any, port: Any, **keywords: Any) -> list[Any]:
        return list(infos)

    return getaddrinfo


def info(host: str, port: int = 1) -> tuple[Any, ...]:
    """Make an address info of a host that is an address."""
    if ":" in host:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


class Serving(asyncio.Protocol):
    """A connection of :func:`serve`'s; those that were made are kept in ``made``."""

    made: ClassVar[list["Serving"]] = []

    def __init__(self) -> None:
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.made.append(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


def address_of(server: asyncio.Server, place: int = 0) -> Any:
    return server.sockets[place].getsockname()


async def serve(*arguments: Any, **keywords: Any) -> asyncio.Server:
    """Create a server of :class:`Serving` on some port."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(Serving, *(arguments or (HOST, 0)), **keywords)
