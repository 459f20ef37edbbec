"""Any program of tasks and cancellations takes the same course with native and standard classes.

A program is a list of operations a task, and a list of cancellations by turn. What it did is the
list of all operations with their turn and outcome, and how every object looked after each turn.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.releases import stock_has

from .conftest import SIDES, Side

TURNS = 40
WAKES_ALL = stock_has((3, 13, 0))

Program = list[list[str]]
Cancellations = list[tuple[int, int]]


def _look(thing: Any) -> str:
    return repr(thing).partition(" [")[2]


async def _perform(operation: str, thing: Any) -> Any:
    match operation:
        case "pause":
            return await asyncio.sleep(0)
        case "with":
            async with thing as entered:
                await asyncio.sleep(0)
                return entered
        case "with, briefly":
            async with thing as entered:
                return entered
        case "work under it":
            async with thing:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                thing.notify()
        case "wait under it":
            async with thing:
                return await thing.wait()
        case "wait for it twice":
            left = [True, False, False]
            async with thing:
                return await thing.wait_for(left.pop)
        case "notify under it":
            async with thing:
                return thing.notify()
        case "notify two under it":
            async with thing:
                return thing.notify(2)
        case "notify all under it":
            async with thing:
                return thing.notify_all()
    answer = getattr(thing, operation)()
    return await answer if asyncio.iscoroutine(answer) else answer


def _give_up(thing: Any, tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    # A wait for a condition ends with the lock taken, however often it is cancelled.
    if "Condition" in type(thing).__name__ and thing.locked():
        thing.release()


def _course(
    side: Side, make: Callable[[Any], Any], program: Program, cancellations: Cancellations
) -> list[Any]:
    loop = side.new_loop()
    course: list[Any] = []
    thing = make(side)
    now = 0

    async def follow(number: int, operations: list[str]) -> None:
        for operation in operations:
            course.append((now, number, operation, "begins"))
            try:
                outcome = repr(await _perform(operation, thing))
            except asyncio.CancelledError as cancelled:
                outcome = f"cancelled {cancelled.args}"
            except Exception as error:
                outcome = f"{type(error).__name__}: {error}"
            course.append((now, number, operation, outcome))

    def turn() -> None:
        loop.call_soon(loop.stop)
        loop.run_forever()

    try:
        tasks = [loop.create_task(follow(*numbered)) for numbered in enumerate(program)]
        for now in range(TURNS):
            for number in [number for when, number in cancellations if when == now]:
                tasks[number % len(tasks)].cancel(f"in turn {now}")
            turn()
            course.append((now, _look(thing), len(thing._waiters or ())))
        for _ in range(TURNS):
            _give_up(thing, tasks)
            turn()
        course.append([task.done() for task in tasks])
    finally:
        loop.close()
    return course


def _check(
    make: Callable[[Any], Any],
    program: Program,
    cancellations: Cancellations,
    *,
    repaired: bool,
) -> None:
    # Where stock asyncio loses wake-ups, the native sides are compared with each other.
    sides = [side for side in SIDES.values() if side.native or not repaired or WAKES_ALL]
    first, *others = (_course(side, make, program, cancellations) for side in sides)
    for other in others:
        assert other == first


def _programs(*operations: str) -> st.SearchStrategy[Program]:
    return st.lists(
        st.lists(st.sampled_from(["pause", *operations]), min_size=1, max_size=5),
        min_size=1,
        max_size=5,
    )


def _cancellations() -> st.SearchStrategy[Cancellations]:
    return st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=5)


MAKERS: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "lock": (
        lambda side: side.Lock(),
        ("acquire", "release", "with", "with, briefly", "locked"),
    ),
    "event": (
        lambda side: side.Event(),
        ("wait", "wait", "set", "clear", "is_set"),
    ),
    "semaphore of 0": (
        lambda side: side.Semaphore(0),
        ("acquire", "release", "release", "with", "locked"),
    ),
    "semaphore of 2": (
        lambda side: side.Semaphore(2),
        ("acquire", "release", "with", "with, briefly", "locked"),
    ),
    "bounded semaphore": (
        lambda side: side.BoundedSemaphore(2),
        ("acquire", "release", "with", "with, briefly"),
    ),
    "condition": (
        lambda side: side.Condition(),
        (
            "wait under it",
            "wait under it",
            "wait for it twice",
            "work under it",
            "notify under it",
            "notify two under it",
            "notify all under it",
            "wait",
            "notify",
            "acquire",
            "release",
        ),
    ),
    "condition with a standard lock": (
        lambda side: side.Condition(asyncio.locks.Lock()),
        ("wait under it", "wait under it", "work under it", "notify all under it", "acquire"),
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_same_course(name: str) -> None:
    make, operations = MAKERS[name]

    @settings(max_examples=150, deadline=None)
    @given(program=_programs(*operations), cancellations=_cancellations())
    def check(program: Program, cancellations: Cancellations) -> None:
        _check(make, program, cancellations, repaired=name not in ("lock", "event"))

    check()


@settings(max_examples=150, deadline=None)
@given(
    program=_programs("wait", "wait", "wait", "reset", "abort", "with"),
    cancellations=_cancellations(),
    parties=st.integers(1, 4),
)
def test_same_course_of_a_barrier(
    program: Program, cancellations: Cancellations, parties: int
) -> None:
    def look(thing: Any) -> Any:
        return thing._cond._waiters

    class WithWaiters:
        def __init__(self, barrier: Any) -> None:
            self._barrier = barrier

        def __getattr__(self, name: str) -> Any:
            return look(self._barrier) if name == "_waiters" else getattr(self._barrier, name)

        def __repr__(self) -> str:
            return repr(self._barrier)

        async def __aenter__(self) -> Any:
            return await self._barrier.__aenter__()

        async def __aexit__(self, *exc: object) -> Any:
            return await self._barrier.__aexit__(*exc)

    _check(lambda side: WithWaiters(side.Barrier(parties)), program, cancellations, repaired=True)
