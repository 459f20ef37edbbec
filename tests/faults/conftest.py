"""What the tests of faults share: both loops, and a watch on what a test leaves behind."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import ouroloop
import pytest

Factory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[..., Any]

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0

FACTORIES: dict[str, Factory] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}


@pytest.fixture(params=FACTORIES)
def name(request: pytest.FixtureRequest) -> str:
    """Name the loop: once stock asyncio's, which shows that the scenario is right, once ours."""
    return request.param


@pytest.fixture
def run(name: str) -> Run:
    """Run a coroutine on a new loop.

    What reaches the loop's exception handler fails the test.
    """

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        surprises: list[dict[str, Any]] = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: surprises.append(context))
            return await asyncio.wait_for(main, 100)

        with asyncio.Runner(loop_factory=FACTORIES[name]) as runner:
            answer = runner.run(guarded())
        assert surprises == []
        return answer

    return run


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds; it must before the patience ends."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not condition():
        assert loop.time() < deadline, "it never came true"
        await asyncio.sleep(0.001)


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
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test leaves a descriptor open, or a child, or an exception that nobody heard of."""
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: unraisable.append(it.exc_value))
    gc.collect()
    descriptors, processes = open_descriptors(), children()
    yield
    gc.collect()
    assert open_descriptors() == descriptors
    assert children() == processes
    assert unraisable == []
