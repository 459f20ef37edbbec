"""``TaskGroup`` as an object: subclasses, attributes, what it is called by, what it holds."""

# What is tested are blocks, inside of what they raise.
# ruff: noqa: PT012

import asyncio
import contextvars
import gc
import sys
import weakref
from typing import Any

import pytest

from .conftest import World, growth, turns

FAR = 3600.0
SINCE_12 = sys.version_info >= (3, 12)
SINCE_13 = sys.version_info >= (3, 13)
SINCE_14 = sys.version_info >= (3, 14)
SINCE_15 = sys.version_info >= (3, 15)


async def value(result: object, count: int = 1) -> Any:
    """Return ``result`` after ``count`` turns."""
    await turns(count)
    return result


async def fail(error: BaseException, count: int = 1) -> None:
    """Raise ``error`` after ``count`` turns."""
    await turns(count)
    raise error


def test_subclasses(world: World) -> None:
    class Loud(world.api.TaskGroup):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        def _on_task_done(self, task: Any) -> None:
            self.calls.append("done")
            super()._on_task_done(task)

        def _abort(self) -> None:
            self.calls.append("abort")
            super()._abort()

        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            self.calls.append("create")
            return super().create_task(coro, **kwargs)

    async def main() -> None:
        group = Loud()
        assert type(group) is group.__class__ is Loud
        with pytest.raises(ExceptionGroup):
            async with group:
                group.create_task(fail(KeyError()))
                await asyncio.sleep(FAR)
        assert group.calls == ["create", "done", "abort"]

    world.run(main())


def test_aborted_by_hand(world: World) -> None:
    async def main() -> None:
        async with world.api.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(FAR))
            await turns()
            group._abort()
        assert task.cancelled()
        assert group._aborting

    world.run(main())


def test_callbacks_are_shown_and_removed(world: World) -> None:
    async def main() -> None:
        async with world.api.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(FAR))
            callback, context = task._callbacks[0]
            assert callback == group._on_task_done
            assert isinstance(context, contextvars.Context)
            assert task.remove_done_callback(group._on_task_done) == 1
            assert not task._callbacks
            task.add_done_callback(group._on_task_done)
            task.cancel()

    world.run(main())


def test_the_parent_ended_before(world: World) -> None:
    reports: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context["message"]))
        group = world.api.TaskGroup()

        async def enter() -> None:
            await group.__aenter__()

        await asyncio.ensure_future(enter())
        group.create_task(fail(KeyError()))
        await turns(5)

    world.run(main())
    assert len(reports) == 1
    assert reports[0].startswith("Task <Task finished ")
    assert "has errored out but its parent task <Task finished" in reports[0]
    assert reports[0].endswith("is already completed")


@pytest.mark.skipif(not SINCE_15, reason="since 3.15")
def test_cancel(world: World) -> None:
    async def main() -> None:
        async with world.api.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(FAR))
            await turns()
            group.cancel()
            group.cancel()
            await asyncio.sleep(FAR)
        assert task.cancelled()
        group.cancel()
        group = world.api.TaskGroup()
        group.cancel()
        reached = []
        async with group:
            reached.append(1)
            await asyncio.sleep(FAR)
        assert reached == [1]
        current: Any = asyncio.current_task()
        assert current.cancelling() == 0

    world.run(main())


@pytest.mark.skipif(not SINCE_14, reason="call graphs came with 3.14")
def test_call_graph(world: World) -> None:
    async def main() -> None:
        task: Any
        async with world.api.TaskGroup() as group:
            task = group.create_task(turns(3))
            await turns()
            assert task._asyncio_awaited_by == {asyncio.current_task()}
        assert not task._asyncio_awaited_by

    world.run(main())


def test_debug_mode(world: World) -> None:
    async def main() -> None:
        async with world.api.TaskGroup() as group:
            group.create_task(value(1))
        with pytest.raises(ExceptionGroup):
            async with world.api.TaskGroup() as group:
                group.create_task(fail(KeyError()))

    world.run(main(), debug=True)


def test_cycles_are_collected(native_world: World) -> None:
    gone: list[weakref.ref[Any]] = []

    async def main() -> None:
        class Marker:
            pass

        for error in (None, KeyError()):
            marker: Any = Marker()
            group = native_world.api.TaskGroup()
            group.marker, marker.group = marker, group
            gone.extend((weakref.ref(marker), weakref.ref(group)))
            try:
                async with group:
                    marker.task = group.create_task(fail(error) if error else value(marker))
            except ExceptionGroup:
                pass
            del group, marker
        await turns(2)

    native_world.run(main())
    gc.collect()
    assert [ref() for ref in gone] == [None] * 4


def test_leaks_nothing(native_world: World) -> None:
    async def main() -> None:
        for number in range(1000):
            try:
                async with native_world.api.TaskGroup() as group:
                    for _ in range(3):
                        group.create_task(value(number))
                    if number % 3 == 0:
                        group.create_task(fail(KeyError()))
            except ExceptionGroup:
                pass

    def act() -> None:
        native_world.run(main())

    assert growth(act) < 50
