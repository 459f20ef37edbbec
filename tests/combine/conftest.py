"""What these tests share: the functions of both makers on both loops."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import ouroloop
import pytest
from ouroloop import _native


class World(NamedTuple):
    """Whose functions run, and on which loop."""

    api: Any
    factory: Callable[[], asyncio.AbstractEventLoop]

    def run(self, main: Coroutine[Any, Any, Any], *, debug: bool = False) -> Any:
        """Run ``main`` on a new loop; what reaches the exception handler fails the test."""
        surprises: list[dict[str, Any]] = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: surprises.append(context))
            return await main

        with asyncio.Runner(loop_factory=self.factory, debug=debug) as runner:
            answer = runner.run(guarded())
            gc.collect()
        assert surprises == []
        return answer


WORLDS = {
    "stock": World(asyncio, asyncio.SelectorEventLoop),
    "native-on-stock": World(_native, asyncio.SelectorEventLoop),
    "native": World(_native, ouroloop.new_event_loop),
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    """Each world in turn; what holds in the stock one is what the others are held to."""
    return WORLDS[request.param]


@pytest.fixture(params=[name for name in WORLDS if name != "stock"])
def native_world(request: pytest.FixtureRequest) -> World:
    """The worlds with native functions."""
    return WORLDS[request.param]


@pytest.fixture(autouse=True)
def garbage_stays_in_its_test() -> Iterator[None]:
    """What one test leaves behind is not collected, nor reported, in the next."""
    yield
    gc.collect()


async def turns(count: int = 1) -> None:
    """Let ``count`` turns of the loop pass."""
    for _ in range(count):
        await asyncio.sleep(0)


def growth(act: Callable[[], object]) -> int:
    """By how many objects the heap grows when ``act`` is called once more than before."""
    act()
    gc.collect()
    before = len(gc.get_objects())
    act()
    gc.collect()
    return len(gc.get_objects()) - before
