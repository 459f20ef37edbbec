"""Whatever a program does to a queue, ours answers as asyncio's does, turn by turn."""

import asyncio
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


def attempt(method: Callable[..., Any], *arguments: Any) -> str:
    """What a call answers or raises."""
    try:
        return repr(method(*arguments))
    except Exception as error:
        return repr(error)


def state(task: asyncio.Task[Any]) -> str:
    """How a task stands."""
    if not task.done():
        return "pending"
    return "cancelled" if task.cancelled() else repr(task.exception() or task.result())


class Program:
    """Tasks around one queue."""

    def __init__(self, loop: asyncio.AbstractEventLoop, queue: Any) -> None:
        self.loop = loop
        self.queue = queue
        self.tasks: list[asyncio.Task[Any]] = []

    def carry_out(self, kind: str, number: int) -> str:
        """Do a deed; tell the answer."""
        deed = getattr(self, kind.replace(" ", "_"), None)
        if deed is not None:
            return repr(deed(number))
        if kind in {"put", "get", "join"}:
            arguments = [number] * (kind == "put")
            self.tasks.append(self.loop.create_task(getattr(self.queue, kind)(*arguments)))
            return ""
        arguments = [number] * (kind == "put_nowait")
        return attempt(getattr(self.queue, kind), *arguments)

    def turn(self, number: int) -> None:
        turn(self.loop)

    def cancel(self, number: int) -> bool:
        return number < len(self.tasks) and self.tasks[-1 - number].cancel()

    def wake_and_cancel(self, number: int) -> str:
        answer = attempt(self.queue.put_nowait, number)
        return answer + repr(bool(self.tasks) and self.tasks[number % len(self.tasks)].cancel())

    def shutdown(self, number: int) -> str:
        return attempt(self.queue.shutdown, number > 3)

    def look(self, number: int) -> list[Any]:
        return list(self.queue._queue)

    def look_at_waiters(self, number: int) -> tuple[int, int, bool]:
        queue = self.queue
        return len(queue._getters), len(queue._putters), queue._finished.is_set()

    def adorn(self, number: int) -> None:
        self.queue.label = number

    def seen(self) -> str:
        """What can be seen from outside."""
        queue, tasks = self.queue, [state(task) for task in self.tasks]
        return f"{queue} {queue.qsize()} {queue.empty()} {queue.full()} {tasks}"


def history(world: World, make: Any, maxsize: int, deeds: list[Deed]) -> list[str]:
    """Carry out ``deeds``; tell what could be seen after each."""
    loop = world.new_loop()
    program = Program(loop, make(maxsize))
    try:
        story = [
            f"{kind} {number}: {program.carry_out(kind, number)} {program.seen()}"
            for kind, number in deeds
        ]
        for task in program.tasks:
            task.cancel()
        turn(loop, 4)
        return [*story, program.seen()]
    finally:
        loop.close()


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
