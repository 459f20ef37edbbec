"""Who waits for whom, as ``asyncio.capture_call_graph`` sees it (3.14)."""

import asyncio
import sys
import types
from collections.abc import Callable
from typing import Any

import ouroloop
import pytest

from .conftest import World, turns

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="from 3.14 on")


async def wait_by_gather(world: World, child: Any) -> None:
    await world.api.gather(child, child)


async def wait_by_wait(world: World, child: Any) -> None:
    await world.api.wait([child])


async def wait_by_shield(world: World, child: Any) -> None:
    await world.api.shield(child)


async def wait_by_as_completed(world: World, child: Any) -> None:
    for each in world.api.as_completed([child]):
        await each


async def wait_directly(world: World, child: Any) -> None:
    await child


KEPT = (wait_by_as_completed, "cancel")
"""asyncio's own keeps the name of a waiter that gives up its turn."""

WAYS = [wait_by_gather, wait_by_wait, wait_by_shield, wait_by_as_completed, wait_directly]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["result", "cancel"])
def test_while_it_is_awaited(world: World, way: Callable[..., Any], end: str) -> None:
    async def main() -> Any:
        child: Any = asyncio.get_running_loop().create_future()
        assert child._asyncio_awaited_by is None
        task = asyncio.ensure_future(way(world, child))
        await turns(2)
        assert child._asyncio_awaited_by == {task}
        assert [node.future for node in asyncio.capture_call_graph(child).awaited_by] == [task]  # type: ignore[attr-defined]
        if end == "result":
            child.set_result(None)
        else:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return (child._asyncio_awaited_by or None) if (way, end) != KEPT else None

    assert world.run(main()) is None


def test_by_word(world: World) -> None:
    api: Any = world.api

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        future: Any = loop.create_future()
        waiters = [loop.create_future(), asyncio.current_task()]
        for waiter in [*waiters, *waiters]:
            api.future_add_to_awaited_by(future, waiter)
        assert future._asyncio_awaited_by == set(waiters)
        api.future_discard_from_awaited_by(future, waiters[0])
        assert future._asyncio_awaited_by == {waiters[1]}
        for nonsense in (3, None, object()):
            api.future_add_to_awaited_by(future, nonsense)
            api.future_discard_from_awaited_by(future, nonsense)
            api.future_add_to_awaited_by(nonsense, future)
            api.future_discard_from_awaited_by(nonsense, future)
        return future._asyncio_awaited_by == {waiters[1]}

    assert world.run(main()) is True


def test_graph_goes_through_native_coroutines(world: World) -> None:
    async def inner() -> None:
        await asyncio.get_running_loop().create_future()

    @types.coroutine
    def between() -> Any:
        yield from inner()

    async def main() -> Any:
        generator = between()
        task = world.api.ensure_future(generator)
        await turns(2)
        assert task.get_coro().cr_await is generator
        text = asyncio.format_call_graph(task)  # type: ignore[attr-defined]
        task.cancel()
        return f"Task(name={task.get_name()!r}" in text

    assert world.run(main())


def test_combinators_of_asyncio_record_native_tasks() -> None:
    """Nothing is installed: asyncio's own gather, wait, shield and TaskGroup await native tasks."""

    async def child(event: asyncio.Event) -> None:
        await event.wait()

    async def main() -> None:
        event = asyncio.Event()
        current = asyncio.current_task()

        async def grouped() -> None:
            async with asyncio.TaskGroup() as group:
                children.append(group.create_task(child(event)))

        children = [asyncio.ensure_future(child(event)) for _ in range(3)]
        first: Any = children[0]
        waiting = asyncio.ensure_future(asyncio.wait(children[1:2]))
        group = asyncio.ensure_future(grouped())
        together = asyncio.gather(first, asyncio.shield(children[2]))
        await turns(3)
        awaited_by = [task._asyncio_awaited_by for task in children]  # type: ignore[attr-defined]
        assert awaited_by == [{current}, {waiting}, {current}, {group}]
        event.set()
        await asyncio.gather(waiting, group, together)
        assert first._asyncio_awaited_by is None

    with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
        runner.run(main())
