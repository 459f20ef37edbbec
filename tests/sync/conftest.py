"""The primitives of both makes, on loops of both makes."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import ouroloop
import pytest
from ouroloop import _native

NAMES = ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier")


@dataclass(frozen=True)
class Side:
    """Where the classes and the loop come from."""

    classes: Any
    new_loop: Callable[[], asyncio.AbstractEventLoop]
    native: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.classes, name)

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Carry a coroutine out on a loop of its own."""
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            return runner.run(main)


SIDES = {
    "stock": Side(asyncio.locks, asyncio.SelectorEventLoop, native=False),
    "native, stock loop": Side(_native, asyncio.SelectorEventLoop, native=True),
    "native": Side(_native, ouroloop.new_event_loop, native=True),
}


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest) -> Side:
    """Stock on stock, which proves what is expected, and native on either loop."""
    return SIDES[request.param]


@pytest.fixture(params=[name for name, side in SIDES.items() if side.native])
def native_side(request: pytest.FixtureRequest) -> Side:
    """Native classes on either loop."""
    return SIDES[request.param]


@pytest.fixture(autouse=True)
def garbage_stays_in_its_test() -> Iterator[None]:
    """What one test leaves behind is not collected, nor reported, in the next."""
    yield
    gc.collect()


async def turns(count: int = 1) -> None:
    """Let everybody else run, ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)
