"""Calls of the classes `Task` and `Future`, of asyncio's and of ours, with arguments of every kind."""

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import ouroloop
import pytest

from tests.support.loops import FACTORIES

from .conftest import turn

CLASSES: dict[str, Any] = {"asyncio": asyncio, "ouroloop": ouroloop}


@pytest.fixture(params=CLASSES)
def classes(request: pytest.FixtureRequest) -> Any:
    """Give the module whose classes are called."""
    return CLASSES[request.param]


@pytest.fixture(params=FACTORIES)
def any_loop(request: pytest.FixtureRequest) -> Any:
    """Give a loop of either kind, whichever classes are called."""
    loop = FACTORIES[request.param]()
    yield loop
    loop.close()


async def answer(value: object = None) -> object:
    """End at once."""
    return value


def test_a_task_of_all_keywords(classes: Any, any_loop: Any) -> None:
    variable = contextvars.ContextVar[int]("variable", default=0)
    context = contextvars.copy_context()
    context.run(variable.set, 7)

    async def look() -> int:
        return variable.get()

    task = classes.Task(look(), loop=any_loop, name="looker", context=context)
    assert task.get_name() == "looker"
    assert any_loop.run_until_complete(task) == 7
    plain = classes.Task(coro=look(), loop=any_loop, name=None, context=None)
    assert plain.get_name().startswith("Task-")
    assert any_loop.run_until_complete(plain) == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_an_eager_task(classes: Any, any_loop: Any) -> None:
    async def main() -> None:
        done = classes.Task(answer(5), loop=any_loop, eager_start=True)
        assert done.done()
        assert done.result() == 5
        later = classes.Task(answer(6), loop=any_loop, eager_start=False)
        assert not later.done()
        assert await later == 6

    any_loop.run_until_complete(main())


def test_without_a_loop(classes: Any, any_loop: Any) -> None:
    async def main() -> None:
        task, future = classes.Task(answer(1)), classes.Future()
        assert task.get_loop() is future.get_loop() is any_loop
        assert classes.Future(loop=None).get_loop() is any_loop
        assert await task == 1

    any_loop.run_until_complete(main())


def test_a_future(classes: Any, any_loop: Any) -> None:
    future = classes.Future(loop=any_loop)
    assert future.get_loop() is any_loop
    assert not future.done()
    future.set_result(3)
    assert any_loop.run_until_complete(future) == 3


WRONG: dict[str, Callable[[Any, Any, Any], object]] = {
    "nothing": lambda classes, loop, _: classes.Task(),
    "no coroutine": lambda classes, loop, _: classes.Task(loop=loop),
    "two": lambda classes, loop, coro: classes.Task(coro, loop),
    "unknown": lambda classes, loop, coro: classes.Task(coro, loop=loop, other=1),
    "twice": lambda classes, loop, coro: classes.Task(coro, coro=coro, loop=loop),
    "number": lambda classes, loop, _: classes.Task(5, loop=loop),
    "function": lambda classes, loop, _: classes.Task(answer, loop=loop),
    "future: positional": lambda classes, loop, _: classes.Future(loop),
    "future: unknown": lambda classes, loop, _: classes.Future(loop=loop, other=1),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments(classes: Any, any_loop: Any, wrong: str) -> None:
    coroutine: Coroutine[Any, Any, object] = answer()
    with pytest.raises(TypeError):
        WRONG[wrong](classes, any_loop, coroutine)
    coroutine.close()
    turn(any_loop)


def test_a_name_that_cannot_be_written(classes: Any, any_loop: Any) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise LookupError("no name")

    coroutine = answer()
    with pytest.raises(LookupError):
        classes.Task(coroutine, loop=any_loop, name=Unprintable())
    coroutine.close()


def test_subclasses_are_made_by_their_own_methods(classes: Any, any_loop: Any) -> None:
    made = []

    class Counted(classes.Task):  # type: ignore[misc]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            made.append("new")
            return super().__new__(cls)

        def __init__(self, coro: Any, number: int, **kwargs: Any) -> None:
            made.append(number)
            super().__init__(coro, **kwargs)

    class Plain(classes.Future):  # type: ignore[misc]
        def __init__(self, *, loop: Any) -> None:
            made.append("plain")
            super().__init__(loop=loop)

    task = Counted(answer(2), 4, loop=any_loop)
    assert type(task) is Counted
    assert any_loop.run_until_complete(task) == 2
    assert type(Plain(loop=any_loop)) is Plain
    assert made == ["new", 4, "plain"]


def test_a_closed_loop(classes: Any) -> None:
    loop = FACTORIES["ouroloop" if classes is ouroloop else "asyncio"]()
    loop.close()
    coroutine = answer()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        classes.Task(coroutine, loop=loop)
    coroutine.close()
