"""What the tests of transports share: both loops, and a watch on what a test leaves behind."""

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import ouroloop
import pytest

Factory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[..., Any]

FACTORIES: dict[str, Factory] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}


def runner_of(factory: Factory) -> Run:
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
def factory(request: pytest.FixtureRequest) -> Factory:
    """Give what makes a loop, once stock asyncio's and once Ouroloop's."""
    return FACTORIES[request.param]


@pytest.fixture
def run(factory: Factory) -> Run:
    """Run a coroutine, once on stock asyncio and once on Ouroloop."""
    return runner_of(factory)


@pytest.fixture
def run_native() -> Run:
    """Run a coroutine on Ouroloop: for promises that stock asyncio does not make."""
    return runner_of(ouroloop.new_event_loop)


def open_descriptors() -> dict[int, str]:
    """Return the open descriptors of this process and what they lead to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- the listing's own descriptor ends
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


@pytest.fixture(autouse=True)
def descriptors_as_before() -> Iterator[None]:
    """No test leaves a descriptor open."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    after = open_descriptors()
    assert {fd: after[fd] for fd in after.keys() - before.keys()} == {}
    assert before.keys() - after.keys() == set()
