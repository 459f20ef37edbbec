"""``ensure_future``, ``create_task``, ``isfuture``, ``iscoroutine``."""

import asyncio
import contextvars
import inspect
import sys
import types
from collections.abc import Generator
from typing import Any

import pytest

from .conftest import World, turns


async def give(value: Any) -> Any:
    return value


@types.coroutine
def old_style() -> Generator[Any, None, Any]:
    yield
    return "old"


class Awaitable:
    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator

    def __await__(self) -> Any:
        return self.iterator


def test_futures_are_given_back(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = world.api.ensure_future(give(1))
        assert isinstance(task, asyncio.Task)
        assert world.api.ensure_future(future) is future
        assert world.api.ensure_future(future, loop=loop) is future
        assert world.api.ensure_future(task) is task
        return await task

    assert world.run(main()) == 1


def test_awaitables(world: World) -> None:
    async def main() -> Any:
        generator = world.api.ensure_future(old_style())
        wrapped = world.api.ensure_future(Awaitable(iter([None])))
        name = wrapped.get_coro().__qualname__
        assert inspect.iscoroutine(wrapped.get_coro()) or sys.version_info < (3, 12)
        return await generator, await wrapped, name.endswith("_wrap_awaitable")

    assert world.run(main()) == ("old", None, True)


@pytest.mark.parametrize("iterator", [3, None])
def test_bad_iterators(world: World, iterator: Any) -> None:
    async def main() -> Any:
        await world.api.ensure_future(Awaitable(iterator))

    kind = type(iterator).__name__
    message = r"__await__\(\) (returned non-iterator of type|must return an iterator, not )|is not iterable"
    with pytest.raises(TypeError, match=message) as raised:
        world.run(main())
    assert kind in str(raised.value)


def test_refusals(world: World) -> None:
    other = world.factory()
    foreign = other.create_future()

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        with pytest.raises(TypeError, match=r"^An asyncio.Future, a coroutine or an awaitable is"):
            world.api.ensure_future("x")
        with pytest.raises(ValueError, match=r"^The future belongs to a different loop than"):
            world.api.ensure_future(foreign, loop=loop)

    world.run(main())
    other.close()


def test_closed_loop_closes_the_coroutine(world: World) -> None:
    loop = world.factory()
    loop.close()
    coroutine = give(1)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        world.api.ensure_future(coroutine, loop=loop)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_overridden_create_task_is_called(world: World) -> None:
    async def main() -> Any:
        loop: Any = asyncio.get_running_loop()
        made = []
        stock = loop.create_task

        def create_task(coro: Any, **keywords: Any) -> Any:
            made.append(coro)
            return stock(coro, **keywords)

        loop.create_task = create_task
        await world.api.gather(give(1), give(2))
        await world.api.create_task(give(3))
        del loop.create_task
        await world.api.create_task(give(4))
        return len(made)

    assert world.run(main()) == 3


def test_create_task(world: World) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def look() -> int:
        return variable.get()

    async def main() -> Any:
        context = contextvars.copy_context()
        context.run(variable.set, 7)
        task = world.api.create_task(look(), name="named", context=context)
        assert task.get_name() == "named"
        plain = world.api.create_task(give(1))
        assert plain.get_name().startswith("Task-")
        return await task, await plain

    assert world.run(main()) == (7, 1)


def test_create_task_outside_of_a_loop(world: World) -> None:
    coroutine = give(1)
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        world.api.create_task(coroutine)
    coroutine.close()


def test_create_task_of_something_else(world: World) -> None:
    async def main() -> Any:
        with pytest.raises(TypeError, match=r"^a coroutine was expected, got 3$"):
            world.api.create_task(3)
        await turns()

    world.run(main())


def test_what_is_what(world: World) -> None:
    class Pretender:
        _asyncio_future_blocking = False

    class Refuser:
        _asyncio_future_blocking = None

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        task = world.api.create_task(give(1))
        gathering = world.api.gather(give(2))
        waiting = world.api.wait([task])
        coroutine, generator = give(3), old_style()
        things = [
            loop.create_future(),
            task,
            gathering,
            waiting,
            coroutine,
            Pretender(),
            Refuser(),
            3,
        ]
        found = [(world.api.isfuture(thing), world.api.iscoroutine(thing)) for thing in things]
        assert world.api.iscoroutine(generator) is (sys.version_info < (3, 12))
        await gathering
        await waiting
        await coroutine
        return found

    yes, no = True, False
    assert world.run(main()) == [
        (yes, no), (yes, no), (yes, no), (no, yes), (no, yes), (yes, no), (no, no), (no, no),
    ]  # fmt: skip
