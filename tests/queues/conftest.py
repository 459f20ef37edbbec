"""What the tests of queues share: each expectation is proved on asyncio's own classes first."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import ouroloop
import pytest
from ouroloop import _native

NAMES = ("Queue", "PriorityQueue", "LifoQueue")


class World(NamedTuple):
    """Whose queues run on whose loop."""

    name: str
    new_loop: Callable[[], asyncio.AbstractEventLoop]
    Queue: Any
    PriorityQueue: Any
    LifoQueue: Any


STOCK = World(
    "asyncio",
    asyncio.SelectorEventLoop,
    asyncio.queues.Queue,
    asyncio.queues.PriorityQueue,
    asyncio.queues.LifoQueue,
)
NATIVE = (_native.Queue, _native.PriorityQueue, _native.LifoQueue)
WORLDS = {
    "asyncio": STOCK,
    "native on asyncio": World("native on asyncio", asyncio.SelectorEventLoop, *NATIVE),
    "native": World("native", ouroloop.new_event_loop, *NATIVE),
}


def turn(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Run what is ready now, ``count`` times, without waiting."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    """Each combination of classes and loop."""
    return WORLDS[request.param]


@pytest.fixture
def loop(world: World) -> Iterator[asyncio.AbstractEventLoop]:
    """An open loop of the world's that does not run."""
    loop = world.new_loop()
    yield loop
    loop.close()


@pytest.fixture
def run(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine to its end."""
    return loop.run_until_complete


@pytest.fixture(autouse=True)
def garbage_stays_in_its_test() -> Iterator[None]:
    """What one test leaves behind is not collected, nor reported, in the next."""
    yield
    gc.collect()
