"""Whatever a program does to a queue, ours answers as asyncio's does, turn by turn."""

import asyncio
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import NAMES, WORLDS, World, turn

Deed = tuple[str, int]
KINDS = ["put", "get", "join", "cancel", "put_nowait", "get_nowait", "task_done", "turn", "turn"]
KINDS += ["look", "look at waiters", "adorn", "wake and cancel"]
if sys.version_info >= (3, 13):
    KINDS += ["shutdown"]
DEEDS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5)), max_size=40)


def stack_of(base: Any) -> Any:
    """A class with hooks of its own."""

    class Derived(base):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self._queue = []

        def _put(self, item: Any) -> None:
            self._queue.insert(len(self._queue) // 2, item)

        def _get(self) -> Any:
            return self._queue.pop()

    return Derived


def overriding(base: Any) -> Any:
    """A class with other methods of its own."""

    class Derived(base):  # type: ignore[misc]
        def full(self) -> bool:
            return self.qsize() >= 2

        def get_nowait(self) -> Any:
            return super().get_nowait()

    return Derived


DERIVED: dict[str, Callable[[Any], Any]] = {
    "itself": lambda base: base,
    "derived": lambda base: type("Derived", (base,), {}),
    "stack": stack_of,
    "overriding": overriding,
}


def history(world: World, make: Any, maxsize: int, deeds: list[Deed]) -> list[str]:
    """Carry out ``deeds``; tell what could be seen after each."""
    loop = world.new_loop()
    queue = make(maxsize)
    tasks: list[asyncio.Task[Any]] = []
    seen: list[str] = []

    def attempt(method: Callable[..., Any], *arguments: Any) -> str:
        try:
            return repr(method(*arguments))
        except Exception as error:  # noqa: BLE001 - to be compared, whatever it is
            return repr(error)

    def state(task: asyncio.Task[Any]) -> str:
        if not task.done():
            return "pending"
        return "cancelled" if task.cancelled() else repr(task.exception() or task.result())

    def carry_out(kind: str, number: int) -> str | None:
        match kind:
            case "put":
                tasks.append(loop.create_task(queue.put(number)))
            case "get" | "join":
                tasks.append(loop.create_task(getattr(queue, kind)()))
            case "cancel" if number < len(tasks):
                return repr(tasks[-1 - number].cancel())
            case "wake and cancel" if tasks:
                answer = attempt(queue.put_nowait, number)
                return answer + repr(tasks[number % len(tasks)].cancel())
            case "put_nowait":
                return attempt(queue.put_nowait, number)
            case "get_nowait" | "task_done":
                return attempt(getattr(queue, kind))
            case "turn":
                turn(loop)
            case "look":
                return repr(list(queue._queue))
            case "look at waiters":
                return repr((len(queue._getters), len(queue._putters), queue._finished.is_set()))
            case "adorn":
                queue.label = number
            case "shutdown":
                return attempt(queue.shutdown, number > 3)
        return None

    try:
        for kind, number in deeds:
            answer = carry_out(kind, number)
            text = re.sub(r"Derived", "Queue", str(queue))
            rest = (queue.qsize(), queue.empty(), queue.full(), [state(task) for task in tasks])
            seen.append(f"{kind} {number}: {answer} {text} {rest}")
        for task in tasks:
            task.cancel()
        turn(loop, 4)
        seen.append(f"{queue} {[state(task) for task in tasks]}")
    finally:
        loop.close()
    return seen


@pytest.mark.parametrize("derived", DERIVED)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(maxsize=st.integers(0, 3), deeds=DEEDS)
def test_same_history(name: str, derived: str, maxsize: int, deeds: list[Deed]) -> None:
    stories = [
        history(world, DERIVED[derived](getattr(world, name)), maxsize, deeds)
        for world in WORLDS.values()
    ]
    assert stories[1] == stories[0]
    assert stories[2] == stories[0]
