"""What the tests of the object model share: both loops, turns by hand, and reports of errors."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import ouroloop
import pytest

from tests.support.loops import Factory


def turn(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Run what is ready now, ``count`` times, without waiting."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


class Reports:
    """An exception handler that keeps the texts and exceptions, and no other references."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.exceptions: list[BaseException | None] = []
        self.keys: list[list[str]] = []

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.messages.append(context["message"])
        self.exceptions.append(context.get("exception"))
        self.keys.append(sorted(context))


@pytest.fixture
def loop(factory: Factory) -> Iterator[asyncio.AbstractEventLoop]:
    """An open loop that does not run, of each kind."""
    loop = factory()
    yield loop
    loop.close()


@pytest.fixture
def native() -> Iterator[ouroloop.Loop]:
    """An open native loop that does not run."""
    loop = ouroloop.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def reports(loop: asyncio.AbstractEventLoop) -> Reports:
    """What reaches the exception handler of ``loop``."""
    reports = Reports()
    loop.set_exception_handler(reports)
    return reports


@pytest.fixture(autouse=True)
def garbage_stays_in_its_test() -> Iterator[None]:
    """What one test leaves behind is not collected, nor reported, in the next."""
    yield
    gc.collect()
