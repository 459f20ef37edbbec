"""``create_connection`` to a host of several addresses: their order, and their race."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.loops import Run

from .peers import Recorder, answers, closed, info

A, B, C, X, Y = "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1", "::2"


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({}, [A, B, C, X, Y]),
        ({"interleave": 0}, [A, B, C, X, Y]),
        ({"interleave": 1}, [A, X, B, Y, C]),
        ({"interleave": 2}, [A, B, X, C, Y]),
        ({"interleave": 9}, [A, B, C, X, Y]),
        ({"happy_eyeballs_delay": 5}, [A, X, B, Y, C]),
        ({"happy_eyeballs_delay": 5, "interleave": 0}, [A, B, C, X, Y]),
    ],
)
def test_families_are_interleaved(run: Run, keywords: dict[str, Any], expected: list[str]) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        tried = []

        async def sock_connect(sock: socket.socket, address: Any) -> None:
            tried.append(address[0])
            raise OSError("not today")

        loop.getaddrinfo = answers(*map(info, (A, B, C, X, Y)))
        loop.sock_connect = sock_connect
        with pytest.raises(OSError, match=r"^not today$"):
            await loop.create_connection(Recorder, "somewhere", 1, **keywords)
        del loop.getaddrinfo, loop.sock_connect
        assert tried == expected

    run(main())


class Attempts:
    """A ``sock_connect`` whose attempts end when the test says so."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.ends: dict[str, asyncio.Future[None]] = {}
        self.cancelled: list[str] = []
        self.sockets: list[socket.socket] = []

    async def __call__(self, sock: socket.socket, address: Any) -> None:
        host = address[0]
        self.sockets.append(sock)
        self.ends[host] = asyncio.get_running_loop().create_future()
        self.begun.put_nowait(host)
        try:
            await self.ends[host]
        except asyncio.CancelledError:
            self.cancelled.append(host)
            raise


@contextlib.asynccontextmanager
async def racing(
    hosts: list[str], delay: float
) -> AsyncIterator[tuple[Attempts, asyncio.Task[Any]]]:
    """Begin a happy-eyeballs connection to ``hosts``."""
    loop: Any = asyncio.get_running_loop()
    attempts = Attempts()
    loop.getaddrinfo = answers(*map(info, hosts))
    loop.sock_connect = attempts
    connection = loop.create_connection(
        Recorder, "somewhere", 1, happy_eyeballs_delay=delay, interleave=0
    )
    yield attempts, loop.create_task(connection)
    del loop.getaddrinfo, loop.sock_connect


def test_a_failure_starts_the_next_attempt(run: Run) -> None:
    async def main() -> None:
        async with racing([A, B], 1000) as (attempts, connection):
            assert await attempts.begun.get() == A
            attempts.ends[A].set_exception(OSError("first"))
            assert await attempts.begun.get() == B
            attempts.ends[B].set_exception(OSError("second"))
            with pytest.raises(OSError, match=r"^Multiple exceptions: first, second$"):
                await connection

    run(main())


def test_the_delay_starts_the_next_attempt(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with racing([A, B, C], 0.03) as (attempts, connection):
            assert [await attempts.begun.get() for _ in range(3)] == [A, B, C]
            assert loop.time() - begin >= 0.06
            attempts.ends[B].set_result(None)
            transport, protocol = await connection
            assert sorted(attempts.cancelled) == [A, C]
            assert attempts.sockets[0].fileno() == attempts.sockets[2].fileno() == -1
            await closed(transport, protocol)

    run(main())


def test_an_earlier_failure_starts_nothing(run: Run) -> None:
    async def main() -> None:
        async with racing([A, B, C], 0.05) as (attempts, connection):
            assert [await attempts.begun.get() for _ in range(2)] == [A, B]
            attempts.ends[A].set_exception(OSError("first"))
            for _ in range(10):
                await asyncio.sleep(0)
            assert attempts.begun.empty()
            assert await attempts.begun.get() == C
            attempts.ends[C].set_result(None)
            await closed(*await connection)

    run(main())


def test_two_successes_at_once_leave_one_connection(run_native: Run) -> None:
    async def main() -> None:
        async with racing([A, B], 0) as (attempts, connection):
            assert [await attempts.begun.get() for _ in range(2)] == [A, B]
            attempts.ends[A].set_result(None)
            attempts.ends[B].set_result(None)
            transport, protocol = await connection
            assert [sock.fileno() >= 0 for sock in attempts.sockets].count(True) == 1
            await closed(transport, protocol)

    run_native(main())


def test_a_cancelled_race_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        async with racing([A, B], 0) as (attempts, connection):
            assert [await attempts.begun.get() for _ in range(2)] == [A, B]
            connection.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connection
            await asyncio.sleep(0)
            assert sorted(attempts.cancelled) == [A, B]
            assert [sock.fileno() for sock in attempts.sockets] == [-1, -1]

    run(main())


def test_a_race_without_errors_to_tell_is_a_timeout(run_native: Run) -> None:
    async def main() -> None:
        async with racing([A], 0) as (attempts, connection):
            await attempts.begun.get()
            attempts.ends[A].set_exception(ValueError("a foreign error"))
            with pytest.raises(TimeoutError, match=r"^create_connection failed$"):
                await connection

    run_native(main())
