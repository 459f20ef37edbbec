"""What the tests of servers and connections share: both loops, and a watch on open descriptors."""

import asyncio
import gc
import re
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import ouroloop
import pytest

from .peers import Serving

Run = Callable[..., Any]

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def exactly(message: str) -> str:
    """Return the pattern of an error whose whole text is ``message``."""
    return f"^{re.escape(message)}$"


def runner_of(factory: Callable[[], asyncio.AbstractEventLoop]) -> Run:
    """Return ``run(coroutine, *, debug=False)`` on a new loop of ``factory``."""

    def run(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> Any:
        with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
            return runner.run(asyncio.wait_for(main, 20))

    return run


@pytest.fixture(params=FACTORIES)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine, once on stock asyncio and once on Ouroloop."""
    return runner_of(FACTORIES[request.param])


@pytest.fixture
def run_native() -> Run:
    """Run a coroutine on Ouroloop: for what stock asyncio does worse."""
    return runner_of(ouroloop.new_event_loop)


@pytest.fixture(autouse=True)
def made() -> Iterator[list[Serving]]:
    """Keep the protocols that the servers of one test make."""
    Serving.made.clear()
    yield Serving.made
    Serving.made.clear()


@pytest.fixture(autouse=True)
def descriptors_as_before() -> Iterator[None]:
    """No test leaves a descriptor open."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    assert open_descriptors() == before
