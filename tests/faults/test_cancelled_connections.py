"""Connecting that is cancelled at any moment, while others ask and are answered.

uvloop closed the descriptor of a cancelled ``create_connection`` twice. In between, the number
had become another connection's, and one user's response reached another (its issue 645). Here
every response names the request that it answers.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.loops import HOST, Run

ASKING = 3


class Answering(asyncio.Protocol):
    """Answers ``ask N`` by ``answer N``."""

    def __init__(self) -> None:
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            word, number = line.split()
            assert word == b"ask"
            self.transport.write(b"answer %s\n" % number)


class Asking(asyncio.Protocol):
    """Asks with a number that nobody else has; keeps what comes."""

    numbers = iter(range(1_000_000_000))

    def __init__(self) -> None:
        self.number = next(self.numbers)
        self.data = b""
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"ask %d\n" % self.number)

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.data.endswith(b"\n") and not self.answered.done():
            self.answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        if not self.answered.done():
            # Without an answer, as the asker will see.
            self.answered.set_result(None)
        self.lost.set_result(None)


async def by_address(address: tuple[str, int]) -> Any:
    return await asyncio.get_running_loop().create_connection(Asking, *address)


async def by_socket(address: tuple[str, int]) -> Any:
    """Connect a socket of one's own, which is one's own to close until a transport has it."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, address)
        return await loop.create_connection(Asking, sock=sock)
    except BaseException:
        sock.close()
        raise


async def by_race(address: tuple[str, int]) -> Any:
    """Connect by Happy Eyeballs: several attempts at once."""
    loop = asyncio.get_running_loop()
    return await loop.create_connection(Asking, *address, happy_eyeballs_delay=0.001)


async def ask(connect: Callable[..., Awaitable[Any]], address: tuple[str, int]) -> None:
    transport, protocol = await connect(address)
    await protocol.answered
    assert protocol.data == b"answer %d\n" % protocol.number
    transport.close()
    await protocol.lost
    assert protocol.data == b"answer %d\n" % protocol.number


@pytest.mark.slow
@pytest.mark.parametrize("connect", [by_address, by_socket, by_race])
def test_no_response_reaches_another(
    run: Run, name: str, connect: Callable[..., Awaitable[Any]]
) -> None:
    """The whole number by the way that failed elsewhere, fewer by the others and on stock asyncio."""
    if name == "asyncio" and connect is by_race:
        pytest.skip("stock asyncio forgets the socket of an attempt that won and was cancelled")
    whole = name == "ouroloop" and connect is by_address
    cancellations = 5_000 if whole else 300

    async def cancel(address: tuple[str, int]) -> tuple[int, int]:
        """Cancel each connection after another number of turns."""
        cancelled = late = 0
        for number in range(cancellations):
            connecting = asyncio.ensure_future(connect(address))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            if connecting.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await connecting
                cancelled += 1
            else:
                transport, protocol = await connecting
                transport.close()
                await protocol.lost
                late += 1
        return cancelled, late

    async def keep_asking(address: tuple[str, int], over: asyncio.Event) -> int:
        count = 0
        while not over.is_set():
            await ask(connect, address)
            count += 1
        return count

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Answering, HOST, 0, backlog=1000)
        address = server.sockets[0].getsockname()
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(keep_asking(address, over)) for _ in range(ASKING)]
            cancelled, late = await cancel(address)
            over.set()
        server.close()
        await server.wait_closed()
        assert cancelled + late == cancellations
        assert cancelled > cancellations // 3
        assert all(task.result() > 0 for task in asking)

    run(main())
