"""Queues, and the coroutines that wait before them, are let go and collected."""

import asyncio
import gc
import sys
import weakref
from typing import Any

import pytest

from .conftest import NAMES, World, turn

Loop = asyncio.AbstractEventLoop


@pytest.fixture(params=NAMES)
def make(request: pytest.FixtureRequest, world: World) -> Any:
    """Each of the three classes."""
    return getattr(world, request.param)


class Item:
    """Something to refer to weakly; as good as any other of its kind."""

    def __lt__(self, other: Any) -> bool:
        return False


def test_an_item_goes_with_its_last_reference(make: Any) -> None:
    queue = make()
    item = Item()
    reference = weakref.ref(item)
    queue.put_nowait(item)
    del item
    assert reference() is not None
    queue.get_nowait()
    assert reference() is None
    queue.put_nowait(Item())
    reference = weakref.ref(queue._queue[0])
    del queue
    assert reference() is None


def test_an_item_got_by_a_task_goes_too(make: Any, loop: Loop) -> None:
    queue = make()

    async def get() -> weakref.ref[Item]:
        item = await queue.get()
        reference = weakref.ref(item)
        assert isinstance(item, Item)
        return reference

    async def main() -> None:
        await queue.put(Item())
        reference = await get()
        assert reference() is None

    loop.run_until_complete(main())


def test_an_item_of_a_cancelled_put_goes(make: Any, loop: Loop) -> None:
    queue = make(1)
    queue.put_nowait(Item())
    item = Item()
    reference = weakref.ref(item)
    putter = loop.create_task(queue.put(item))
    del item
    turn(loop)
    assert reference() is not None
    putter.cancel()
    turn(loop)
    del putter
    gc.collect()
    assert reference() is None


def test_a_queue_in_itself_is_collected(make: Any) -> None:
    class Derived(make):  # type: ignore[misc]
        pass

    for kind in (make, Derived):
        by_item, by_attribute, by_coroutine, by_container = (kind() for _ in range(4))
        references = [
            weakref.ref(queue) for queue in (by_item, by_attribute, by_coroutine, by_container)
        ]
        by_item.put_nowait(by_item)
        by_attribute.itself = by_attribute
        coroutines = by_coroutine.put(by_coroutine), by_coroutine.get(), by_coroutine.join()
        by_coroutine.coroutines = coroutines
        by_container.put_nowait(by_container)
        assert by_container._queue
        assert not by_container._getters
        assert not by_container._finished.is_set()
        del by_item, by_attribute, by_coroutine, by_container
        del coroutines
        with pytest.warns(RuntimeWarning, match="was never awaited"):
            gc.collect()
        # What a finalizer has touched, the interpreter may leave for the next time.
        gc.collect()
        assert [reference() for reference in references] == [None] * 4


def test_a_waiting_coroutine_in_a_cycle_is_collected(make: Any, loop: Loop) -> None:
    async def begin() -> list[weakref.ref[Any]]:
        full, queue, joined = make(1), make(), make()
        full.put_nowait(Item())
        joined.put_nowait(Item())
        for owner, coroutine in (
            (full, full.put(full)),
            (queue, queue.get()),
            (joined, joined.join()),
        ):
            coroutine.send(None)
            owner.coroutine = coroutine
        return [weakref.ref(owner) for owner in (full, queue, joined)]

    references = loop.run_until_complete(begin())
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_dropping_many_items_inside_items(make: Any) -> None:
    # Each queue holds the next: taking the first apart must not need a stack for all of them.
    outer = make()
    for _ in range(100_000):
        queue = make()
        queue.put_nowait(outer)
        outer = queue
    del queue
    del outer
    gc.collect()


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="counts references")
def test_nothing_is_left_over(make: Any, loop: Loop) -> None:
    item = Item()

    async def main() -> tuple[int, int]:
        queue, narrow = make(), make(1)

        async def relay() -> None:
            while True:
                await narrow.put(await queue.get())

        relays = [asyncio.ensure_future(relay()) for _ in range(2)]

        async def cycle(count: int) -> None:
            for _ in range(count):
                await queue.put(item)
                await narrow.get()
                waiting = asyncio.ensure_future(make().get())
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

        await cycle(100)
        gc.collect()
        before = len(gc.get_objects()), sys.getrefcount(item)
        await cycle(1000)
        gc.collect()
        after = len(gc.get_objects()), sys.getrefcount(item)
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        assert after[1] == before[1]
        return before[0], after[0]

    before, after = loop.run_until_complete(main())
    assert abs(after - before) < 50
