"""What the tests of multiplexers share: each mechanism of this system, as the stock loop's too."""

import asyncio
import contextlib
import selectors
import socket
from collections.abc import Callable, Iterator
from typing import Any

import ouroloop
import pytest

SELECTORS = {
    "epoll": "EpollSelector",
    "kqueue": "KqueueSelector",
    "poll": "PollSelector",
    "select": "SelectSelector",
}
MECHANISMS = [name for name, selector in SELECTORS.items() if hasattr(selectors, selector)]
PATIENCE = 10.0


def stock_loop(mechanism: str) -> asyncio.AbstractEventLoop:
    """Return asyncio's own loop on the selector of this mechanism."""
    return asyncio.SelectorEventLoop(getattr(selectors, SELECTORS[mechanism])())


@pytest.fixture(params=MECHANISMS)
def mechanism(request: pytest.FixtureRequest) -> str:
    """Give the name of each mechanism of this system."""
    return request.param


@pytest.fixture(params=["asyncio", "ouroloop"])
def loop(request: pytest.FixtureRequest, mechanism: str) -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop on each mechanism, once stock asyncio's and once Ouroloop's."""
    native = request.param == "ouroloop"
    loop = ouroloop.new_event_loop(multiplexer=mechanism) if native else stock_loop(mechanism)
    yield from guarded(loop)


@pytest.fixture
def native_loop(mechanism: str) -> Iterator[ouroloop.Loop]:
    """Give Ouroloop's loop on each mechanism: for promises that stock asyncio does not make."""
    yield from guarded(ouroloop.new_event_loop(multiplexer=mechanism))


def guarded(loop: Any) -> Iterator[Any]:
    """Give the loop; what reaches its exception handler fails the test."""
    surprises: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: surprises.append(context))
    try:
        yield loop
    finally:
        loop.close()
    assert surprises == []


def run_until(loop: asyncio.AbstractEventLoop, condition: Callable[[], object]) -> None:
    """Run the loop until ``condition`` holds; it must before the patience ends."""

    async def wait() -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0)

    loop.run_until_complete(wait())


def turn(loop: asyncio.AbstractEventLoop, count: int = 3) -> None:
    """Let the loop turn a few times, looking at its descriptors each time."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give two connected sockets that do not block."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far
