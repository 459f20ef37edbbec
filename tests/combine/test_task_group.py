"""``TaskGroup``."""

# What is tested are blocks, inside of what they raise.
# ruff: noqa: PT012

import asyncio
import contextvars
import gc
import sys
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.releases import stock_has

from .conftest import World, turns

FAR = 3600.0
SINCE_12 = sys.version_info >= (3, 12)
SINCE_13 = sys.version_info >= (3, 13)
SINCE_14 = sys.version_info >= (3, 14)
SINCE_15 = sys.version_info >= (3, 15)
EAGER_REPAIRED = stock_has((3, 12, 9), (3, 13, 2))


async def value(result: object, count: int = 1) -> Any:
    """Return ``result`` after ``count`` turns."""
    await turns(count)
    return result


async def fail(error: BaseException, count: int = 1) -> None:
    """Raise ``error`` after ``count`` turns."""
    await turns(count)
    raise error


def test_waits_for_its_tasks(world: World) -> None:
    async def main() -> None:
        async with world.api.TaskGroup() as group:
            tasks = [group.create_task(value(number, number)) for number in range(5)]
        assert [task.result() for task in tasks] == [0, 1, 2, 3, 4]
        async with world.api.TaskGroup():
            pass

    world.run(main())


def test_repr(world: World) -> None:
    async def main() -> None:
        group = world.api.TaskGroup()
        assert isinstance(group, asyncio.TaskGroup)
        assert repr(group) == "<TaskGroup>"
        with pytest.raises(ExceptionGroup):
            async with group:
                assert repr(group) == "<TaskGroup entered>"
                group.create_task(fail(KeyError()))
                task = group.create_task(asyncio.sleep(FAR))
                assert repr(group) == "<TaskGroup tasks=2 entered>"
                assert len(group._tasks) == 2
                assert "cb=[TaskGroup._on_task_done()" in repr(task)
                try:
                    await asyncio.sleep(FAR)
                finally:
                    assert repr(group) == "<TaskGroup tasks=1 errors=1 cancelling>"
        assert repr(group) == "<TaskGroup cancelling>"

    world.run(main())


def test_errors_make_a_group(world: World) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with world.api.TaskGroup() as group:
                group.create_task(fail(KeyError("first")))
                group.create_task(fail(ValueError("second")))
                forever = group.create_task(asyncio.sleep(FAR))
        assert str(caught.value) == "unhandled errors in a TaskGroup (2 sub-exceptions)"
        assert [str(error) for error in caught.value.exceptions] == ["'first'", "second"]
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert forever.cancelled()
        task: Any = asyncio.current_task()
        assert task.cancelling() == (0 if SINCE_13 else 1)
        task.uncancel()

    world.run(main())


def test_an_error_of_the_block(world: World) -> None:
    async def main() -> None:
        error = KeyError("block")
        with pytest.raises(ExceptionGroup) as caught:
            async with world.api.TaskGroup() as group:
                task = group.create_task(asyncio.sleep(FAR))
                await turns()
                raise error
        assert caught.value.exceptions == (error,)
        assert caught.value.__context__ is error
        assert task.cancelled()

    world.run(main())


def test_raised_while_another_is_handled(world: World) -> None:
    async def main() -> None:
        outer = OSError("outer")
        with pytest.raises(ExceptionGroup) as caught:
            try:
                raise outer
            except OSError:
                async with world.api.TaskGroup() as group:
                    group.create_task(fail(KeyError()))
        assert caught.value.__context__ is outer

    world.run(main())


def test_an_error_cancels_the_block(world: World) -> None:
    async def main() -> None:
        reached = []
        with pytest.raises(ExceptionGroup):
            async with world.api.TaskGroup() as group:
                group.create_task(fail(KeyError()))
                try:
                    await asyncio.sleep(FAR)
                except asyncio.CancelledError:
                    reached.append(1)
                    raise
        assert reached == [1]
        await turns(3)

    world.run(main())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_leaves_the_loop(world: World, kind: type[BaseException]) -> None:
    left = []

    async def main() -> None:
        try:
            async with world.api.TaskGroup() as group:
                group.create_task(asyncio.sleep(FAR))
                raise kind("block")
        except kind:
            left.append(repr(sys.exception() if SINCE_12 else kind("block")))
            raise

    with pytest.raises(kind):
        world.run(main())
    assert left == [f"{kind.__name__}('block')"]

    async def in_a_task() -> None:
        try:
            async with world.api.TaskGroup() as group:
                group.create_task(fail(kind("task")))
                group.create_task(fail(ValueError()))
                await asyncio.sleep(FAR)
        except kind:
            left.append("task")
            raise

    with pytest.raises(kind):
        world.run(in_a_task())
    assert left[1:] == ["task"]


def test_cancelled_from_outside(world: World) -> None:
    async def main() -> None:
        tasks: list[Any] = []

        async def block(*, waits: bool) -> None:
            async with world.api.TaskGroup() as group:
                tasks.append(group.create_task(asyncio.sleep(FAR)))
                if waits:
                    await asyncio.sleep(FAR)

        for waits in (True, False):
            task = asyncio.ensure_future(block(waits=waits))
            await turns(2)
            task.cancel("enough")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelling() == 1
        assert all(task.cancelled() for task in tasks)

    world.run(main())


def test_cancelled_again_while_it_leaves(world: World) -> None:
    async def main() -> None:
        async def stubborn() -> None:
            try:
                await asyncio.sleep(FAR)
            except asyncio.CancelledError:
                await turns(5)

        async def block() -> None:
            async with world.api.TaskGroup() as group:
                group.create_task(stubborn())

        task = asyncio.ensure_future(block())
        await turns(2)
        for _ in range(3):
            task.cancel()
            await turns()
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(main())


def test_an_error_and_a_cancellation_from_outside(world: World) -> None:
    async def main() -> None:
        async def stumble() -> None:
            try:
                await asyncio.sleep(FAR)
            finally:
                raise KeyError

        async def block() -> int:
            with pytest.raises(ExceptionGroup):
                async with world.api.TaskGroup() as group:
                    group.create_task(stumble())
            current: Any = asyncio.current_task()
            count: int = current.cancelling()
            if SINCE_13:
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.sleep(0)
            return count

        task = asyncio.ensure_future(block())
        await turns(2)
        task.cancel()
        assert await task == 1

    world.run(main())


def test_refusals(world: World) -> None:
    async def main() -> None:
        group = world.api.TaskGroup()
        coroutine = value(1)
        with pytest.raises(RuntimeError, match=r"^TaskGroup <TaskGroup> has not been entered$"):
            group.create_task(coroutine)
        with pytest.raises(ExceptionGroup) as caught:
            async with group:
                message = r"^TaskGroup <TaskGroup entered> has already been entered$"
                with pytest.raises(RuntimeError, match=message):
                    await group.__aenter__()
                group.create_task(fail(KeyError()))
                try:
                    await asyncio.sleep(FAR)
                except asyncio.CancelledError:
                    late = value(2)
                    group.create_task(late)
        assert "is shutting down" in str(caught.value.exceptions[1])
        finished = value(3)
        with pytest.raises(RuntimeError, match=r"^TaskGroup <TaskGroup cancelling> is finished$"):
            group.create_task(finished)
        for one in (coroutine, late, finished):
            assert (one.cr_frame is None) is SINCE_13
            one.close()

    world.run(main())


def test_outside_of_a_task(world: World) -> None:
    async def main() -> None:
        answers = []

        def enter() -> None:
            try:
                world.api.TaskGroup().__aenter__().send(None)
            except RuntimeError as error:
                answers.append(str(error))

        asyncio.get_running_loop().call_soon(enter)
        await turns(2)
        assert answers == ["TaskGroup <TaskGroup> cannot determine the parent task"]

    world.run(main())


def test_a_task_makes_tasks(world: World) -> None:
    async def main() -> list[int]:
        seen: list[int] = []

        async def grow(depth: int) -> None:
            seen.append(depth)
            if depth:
                group.create_task(grow(depth - 1))
                await turns()

        async with world.api.TaskGroup() as group:
            group.create_task(grow(3))
        return seen

    assert world.run(main()) == [3, 2, 1, 0]


def test_names_and_contexts(world: World) -> None:
    name = contextvars.ContextVar[str]("name", default="default")

    async def get() -> str:
        return name.get()

    async def main() -> None:
        context = contextvars.copy_context()
        context.run(name.set, "given")
        async with world.api.TaskGroup() as group:
            named = group.create_task(get(), name="named")
            given = group.create_task(get(), context=context, name=None)
            plain = group.create_task(get())
        assert named.get_name() == "named"
        assert plain.get_name().startswith("Task-")
        assert [task.result() for task in (named, given, plain)] == ["default", "given", "default"]

    world.run(main())


@pytest.mark.skipif(not SINCE_12, reason="eager tasks came with 3.12")
def test_eager_tasks(world: World) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        repaired = world.api is not asyncio or EAGER_REPAIRED
        seen = []

        async def instant(error: Exception | None = None) -> None:
            seen.append("run")
            if error:
                raise error

        async with world.api.TaskGroup() as group:
            task = group.create_task(instant())
            assert task.done()
            assert len(group._tasks) == (1 if repaired else 0)
            seen.append("block")
        assert seen == ["run", "block"]
        if repaired:
            with pytest.raises(ExceptionGroup):
                async with world.api.TaskGroup() as group:
                    group.create_task(instant(KeyError()))
            assert seen == ["run", "block", "run"]

    world.run(main())


@pytest.mark.skipif(not SINCE_12, reason="eager tasks came with 3.12")
def test_a_cancellation_while_tasks_are_made(world: World) -> None:
    if world.api is asyncio and not EAGER_REPAIRED:
        pytest.skip("it is lost, and the group waits for ever")

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        cancelled = False

        async def sleeper() -> None:
            nonlocal cancelled
            try:
                await asyncio.sleep(FAR)
            except asyncio.CancelledError:
                cancelled = True
                raise

        async def maker(group: asyncio.TaskGroup) -> None:
            group.create_task(fail(KeyError(), 0))
            await turns()
            with pytest.raises(RuntimeError, match="is shutting down"):
                group.create_task(sleeper())

        with pytest.raises(ExceptionGroup):
            async with world.api.TaskGroup() as group:
                group.create_task(sleeper())
                group.create_task(maker(group))
        assert cancelled

    world.run(main())


@pytest.mark.parametrize("how", ["task", "block", "exit", "cancelled"])
def test_what_is_raised_is_in_no_cycle(world: World, how: str) -> None:
    if world.api is asyncio and not stock_has((3, 13, 1)):
        pytest.skip("asyncio's frames keep it")

    class Leaving(SystemExit):
        pass

    async def leave() -> BaseException:
        group = world.api.TaskGroup()
        try:
            async with group:
                if how == "task":
                    group.create_task(fail(KeyError(), 0))
                elif how == "block":
                    raise KeyError
                elif how == "exit":
                    raise Leaving
                else:
                    raise asyncio.CancelledError
        except BaseException as error:
            assert group._parent_task is None
            return error
        pytest.fail("nothing was raised")

    async def main() -> None:
        error = await leave()
        gc.disable()
        try:
            seen = weakref.ref(error)
            del error
            await turns()
            assert seen() is None
        finally:
            gc.enable()

    world.run(main())


def test_a_subclass_of_cancelled_error_leaves_it(world: World) -> None:
    if world.api is asyncio and not stock_has((3, 13, 0)):
        pytest.skip("it is taken for an error")

    class Special(asyncio.CancelledError):
        pass

    async def main() -> None:
        with pytest.raises(Special):
            async with world.api.TaskGroup():
                raise Special

    world.run(main())


def test_a_generator_that_is_closed_in_the_block(world: World) -> None:
    if world.api is asyncio and not SINCE_15:
        pytest.skip("closing it raises a group")

    async def numbers() -> AsyncIterator[int]:
        async with world.api.TaskGroup():
            yield 1

    async def main() -> None:
        generator: Any = numbers()
        assert await anext(generator) == 1
        await generator.aclose()

    world.run(main())


@pytest.mark.skipif(not SINCE_14, reason="the keyword came with 3.14")
def test_eager_start(world: World) -> None:
    async def main() -> None:
        async with world.api.TaskGroup() as group:
            task = group.create_task(value(1, 0), eager_start=True)
            assert task.done()
            assert group.create_task(value(1, 0), eager_start=False).done() is False

    world.run(main())


def test_order_of_what_happens(world: World) -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def child(name: str, count: int) -> None:
            await turns(count)
            seen.append(name)

        async def beside() -> None:
            for number in range(6):
                seen.append(str(number))
                await turns()

        side = asyncio.ensure_future(beside())
        async with world.api.TaskGroup() as group:
            group.create_task(child("a", 0)).add_done_callback(lambda _: seen.append("done a"))
            group.create_task(child("b", 1)).add_done_callback(lambda _: seen.append("done b"))
            seen.append("block")
        seen.append("left")
        await side
        return seen

    expected = ["block", "0", "a", "1", "done a", "b", "2", "done b", "3", "left", "4", "5"]
    assert world.run(main()) == expected


def test_nested_groups(world: World) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with world.api.TaskGroup() as outer:
                outer.create_task(asyncio.sleep(FAR))
                async with world.api.TaskGroup() as inner:
                    inner.create_task(fail(KeyError()))
                    await asyncio.sleep(FAR)
        inner_group = caught.value.exceptions[0]
        assert isinstance(inner_group, ExceptionGroup)
        assert isinstance(inner_group.exceptions[0], KeyError)

    world.run(main())


def test_within_a_timeout(world: World) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with world.api.timeout(0.01), world.api.TaskGroup() as group:
                group.create_task(asyncio.sleep(FAR))

    world.run(main())
