"""The two loops that tests compare, and coroutines run on them to their end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import ouroloop

Factory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[..., Any]
Reported = list[dict[str, Any]]

FACTORIES: Final[dict[str, Factory]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}

HOST: Final = "127.0.0.1"
"""Where servers of tests listen."""

PATIENCE: Final = 30.0
"""Seconds after which something that should happen is taken not to."""


def reporting_runner_of(factory: Factory) -> Run:
    """Return ``run(coroutine, *, debug=False)`` on a new loop of ``factory``.

    It answers the coroutine's result and what reached the loop's exception handler.
    """

    def run(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> tuple[Any, Reported]:
        reported: Reported = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: reported.append(context))
            return await asyncio.wait_for(main, 120)

        with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
            return runner.run(guarded()), reported

    return run


def runner_of(factory: Factory) -> Run:
    """Return ``run(coroutine, *, debug=False)`` on a new loop of ``factory``.

    What reaches the loop's exception handler fails the test, unless it has a handler of its own.
    """
    reporting = reporting_runner_of(factory)

    def run(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> Any:
        answer, reported = reporting(main, debug=debug)
        assert not reported, reported
        return answer

    return run


async def turns(count: int = 3) -> None:
    """Let the loop turn a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds; it must before the patience ends."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not condition():
        assert loop.time() < deadline, "it never came true"
        await asyncio.sleep(0.001)
