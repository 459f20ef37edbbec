"""``wait_for``."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import weakref
from typing import Any

import pytest

from .conftest import World, growth, turns

FAR = 3600.0
NEW = sys.version_info >= (3, 12)


async def value(result: object, count: int = 1) -> object:
    """Return ``result`` after ``count`` turns."""
    await turns(count)
    return result


@pytest.mark.parametrize("timeout", [None, FAR, 10])
def test_in_time(world: World, timeout: float | None) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await world.api.wait_for(value("coroutine"), timeout) == "coroutine"
        assert await world.api.wait_for(asyncio.ensure_future(value("task")), timeout) == "task"
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        assert await world.api.wait_for(future, timeout=timeout) == "future"
        future = loop.create_future()
        future.set_result("done")
        assert await world.api.wait_for(future, timeout) == "done"
        with pytest.raises(KeyError, match="raised"):
            await world.api.wait_for(fail(), timeout)

    world.run(main())


async def fail() -> None:
    await turns()
    raise KeyError("raised")


def test_too_late(world: World) -> None:
    async def main() -> None:
        cancelled = []

        async def sleep() -> None:
            try:
                await asyncio.sleep(FAR)
            except asyncio.CancelledError:
                cancelled.append("coroutine")
                raise

        with pytest.raises(TimeoutError) as caught:
            await world.api.wait_for(sleep(), 0.005)
        assert cancelled == ["coroutine"]
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        task = asyncio.ensure_future(sleep())
        with pytest.raises(TimeoutError):
            await world.api.wait_for(task, 0.005)
        assert task.cancelled()
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await world.api.wait_for(future, 0.005)
        assert future.cancelled()

    world.run(main())


@pytest.mark.parametrize("timeout", [0, -1, 0.0, False])
def test_no_time_at_all(world: World, timeout: float) -> None:
    async def main() -> None:
        started = []

        async def start() -> None:
            started.append(1)

        with pytest.raises(TimeoutError) as caught:
            await world.api.wait_for(start(), timeout)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert started == []
        future = asyncio.get_running_loop().create_future()
        future.set_result("done")
        assert await world.api.wait_for(future, timeout) == "done"
        task = asyncio.ensure_future(asyncio.sleep(FAR))
        await turns()
        with pytest.raises(TimeoutError):
            await world.api.wait_for(task, timeout)
        assert task.cancelled()

    world.run(main())


def test_no_time_and_a_stubborn_task(world: World) -> None:
    async def main() -> None:
        async def stubborn() -> str:
            try:
                await asyncio.sleep(FAR)
            except asyncio.CancelledError:
                await turns(2)
            return "all the same"

        task = asyncio.ensure_future(stubborn())
        await turns()
        assert await world.api.wait_for(task, 0) == "all the same"
        task = asyncio.ensure_future(stubborn())
        assert await world.api.wait_for(task, 0.002) == "all the same"

    world.run(main())


def test_no_time_and_another_cancellation(world: World) -> None:
    async def main() -> None:
        async def stubborn() -> None:
            for _ in range(2):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(FAR)

        inner: Any = asyncio.ensure_future(stubborn())
        await turns()
        outer = asyncio.ensure_future(world.api.wait_for(inner, 0))
        await turns()
        assert "_release_waiter(" in repr(inner)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert not inner._callbacks
        inner.cancel()
        await inner

    world.run(main())


def test_cancelled_from_outside(world: World) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(world.api.wait_for(future, FAR))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()

    world.run(main())


def test_cancelled_when_the_result_is_there(world: World) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(world.api.wait_for(future, FAR))
        await turns()
        future.set_result("result")
        task.cancel()
        if NEW:
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await turns(3)
            assert task.result() == "result"

    world.run(main())


def test_an_error_after_the_time_is_over(world: World) -> None:
    async def main() -> None:
        async def stumble() -> None:
            try:
                await asyncio.sleep(FAR)
            finally:
                raise KeyError("stumbled")

        with pytest.raises(KeyError, match="stumbled") as caught:
            await world.api.wait_for(stumble(), 0.002)
        context = caught.value.__context__
        covered = TimeoutError if sys.version_info >= (3, 13) else asyncio.CancelledError
        assert type(context) is covered

    world.run(main())


def test_the_same_task_runs_the_coroutine(world: World) -> None:
    async def which() -> object:
        return asyncio.current_task()

    async def main() -> None:
        assert (await world.api.wait_for(which(), FAR) is asyncio.current_task()) is NEW

    world.run(main())


def test_how_many_turns_it_takes(world: World) -> None:
    async def main() -> int:
        turns_passed = 0

        async def count() -> None:
            nonlocal turns_passed
            while True:
                await asyncio.sleep(0)
                turns_passed += 1

        counting = asyncio.ensure_future(count())
        await turns()
        turns_passed = 0
        await world.api.wait_for(value(None), FAR)
        counting.cancel()
        return turns_passed

    assert world.run(main()) == (1 if NEW else 4)


def test_not_awaitable(world: World) -> None:
    async def main() -> None:
        message = (
            "can't be (used in 'await' expression|awaited)" if NEW else "awaitable is required"
        )
        with pytest.raises(TypeError, match=message):
            await world.api.wait_for(1, FAR)
        with pytest.raises(TypeError, match="awaitable is required"):
            await world.api.wait_for(1, 0)
        coroutine = value(1)
        with pytest.raises(TypeError, match="'<=' not supported between instances of 'str'"):
            await world.api.wait_for(coroutine, "x")
        coroutine.close()

    world.run(main())


def test_any_awaitable(world: World) -> None:
    class Awaitable:
        def __await__(self) -> Any:
            yield
            return "awaited"

    async def main() -> None:
        assert await world.api.wait_for(Awaitable(), FAR) == "awaited"
        assert await world.api.wait_for(Awaitable(), None) == "awaited"

    world.run(main())


@pytest.mark.skipif(not NEW, reason="a time-out's block since 3.12")
def test_outside_of_a_task(world: World) -> None:
    async def main() -> None:
        answers = []

        def step(timeout: float | None) -> None:
            coroutine = value(1)
            try:
                world.api.wait_for(coroutine, timeout).send(None)
            except RuntimeError as error:
                answers.append(str(error))
            coroutine.close()

        loop = asyncio.get_running_loop()
        loop.call_soon(step, FAR)
        loop.call_soon(step, None)
        await turns(2)
        assert answers == ["Timeout should be used inside a task"] * 2

    world.run(main())


def test_closed_while_it_waits(world: World) -> None:
    async def main() -> None:
        ended = []

        async def sleep() -> None:
            try:
                await asyncio.sleep(FAR)
            finally:
                ended.append(1)

        waiting = world.api.wait_for(sleep(), FAR)
        waiting.send(None)
        waiting.close()
        await turns(2)
        assert ended == ([1] if NEW else [])
        if not NEW:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await turns(2)

    world.run(main())


def test_context(world: World) -> None:
    name = contextvars.ContextVar[str]("name", default="main")

    async def change() -> None:
        name.set("changed")

    async def main() -> None:
        await world.api.wait_for(change(), FAR)
        assert name.get() == ("changed" if NEW else "main")

    world.run(main())


def test_debug_mode(world: World) -> None:
    async def main() -> None:
        assert await world.api.wait_for(value(1), FAR) == 1
        for timeout in (0, 0.001):
            with pytest.raises(TimeoutError):
                await world.api.wait_for(asyncio.sleep(FAR), timeout)

    world.run(main(), debug=True)


def test_cycles_are_collected(native_world: World) -> None:
    class Bag(list[Any]):
        def __await__(self) -> Any:
            yield
            return self

    gone: list[weakref.ref[Bag]] = []

    async def main() -> None:
        for step in (False, True):
            for timeout in (None, FAR):
                bag = Bag()
                waiting = native_world.api.wait_for(bag, timeout)
                bag.append(waiting)
                gone.append(weakref.ref(bag))
                if step and NEW:
                    waiting.send(None)
                elif not step:
                    waiting.close()
                else:
                    bag.clear()
                    waiting.close()

    native_world.run(main())
    gc.collect()
    assert [ref() for ref in gone] == [None] * 4


@pytest.mark.parametrize("timeout", [FAR, 0, None])
def test_leaks_nothing(native_world: World, timeout: float | None) -> None:
    async def main() -> None:
        for _ in range(2000):
            with contextlib.suppress(TimeoutError):
                await native_world.api.wait_for(value("x"), timeout)

    def act() -> None:
        native_world.run(main())

    assert growth(act) < 50
