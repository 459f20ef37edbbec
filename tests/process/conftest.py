"""What the tests of processes share: both loops, and a watch on what a test leaves behind."""

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import ouroloop
import pytest

Factory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[..., Any]

FACTORIES: dict[str, Factory] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}


@pytest.fixture(params=FACTORIES)
def factory(request: pytest.FixtureRequest) -> Factory:
    """Give what makes a loop, once stock asyncio's and once Ouroloop's."""
    return FACTORIES[request.param]


@pytest.fixture
def run(factory: Factory) -> Run:
    """Run a coroutine on a new loop; what reaches the exception handler is answered second."""

    def run(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> tuple[Any, list[Any]]:
        reported: list[dict[str, Any]] = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: reported.append(context))
            return await asyncio.wait_for(main, 60)

        with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
            return runner.run(guarded()), reported

    return run


def open_descriptors() -> dict[int, str]:
    """Return the open descriptors of this process and what they lead to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- the listing's own descriptor ends
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


def children() -> set[int]:
    """Return the children of this process that nobody has reaped."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= set(map(int, (task / "children").read_text().split()))
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test leaves a descriptor open, or a child, dead or alive."""
    gc.collect()
    descriptors, processes = open_descriptors(), children()
    yield
    gc.collect()
    assert open_descriptors() == descriptors
    assert children() == processes
