"""What the tests of datagrams share: both loops, and a watch on open descriptors."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import ouroloop
import pytest

Run = Callable[..., Any]

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}


def runner_of(factory: Callable[[], asyncio.AbstractEventLoop]) -> Run:
    """Return ``run(coroutine, *, debug=False)`` on a new loop of ``factory``.

    What reaches the loop's exception handler fails the test, unless it has a handler of its own.
    """

    def run(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> Any:
        surprises: list[dict[str, Any]] = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: surprises.append(context))
            return await asyncio.wait_for(main, 60)

        with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
            answer = runner.run(guarded())
        assert surprises == []
        return answer

    return run


@pytest.fixture(params=FACTORIES)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine, once on stock asyncio and once on Ouroloop."""
    return runner_of(FACTORIES[request.param])


@pytest.fixture
def run_native() -> Run:
    """Run a coroutine on Ouroloop: for promises that stock asyncio does not make."""
    return runner_of(ouroloop.new_event_loop)


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def descriptors_as_before() -> Iterator[None]:
    """No test leaves a descriptor open."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    assert open_descriptors() == before
