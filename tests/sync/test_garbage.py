"""Cycles through the primitives are collected, and nothing is left behind by using them."""

import asyncio
import gc
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from .conftest import NAMES, Side, turns

COUNT = 100_000


def _make(side: Side, name: str) -> Any:
    return getattr(side, name)(*([1] if name == "Barrier" else []))


@pytest.mark.parametrize("name", NAMES)
def test_cycle_through_an_attribute(side: Side, name: str) -> None:
    thing = _make(side, name)
    thing.itself = thing
    reference = weakref.ref(thing)
    del thing
    gc.collect()
    assert reference() is None


WAITS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "Lock.acquire": lambda side: _with(side.Lock(), lambda lock: lock.acquire(), locked=True),
    "Lock": lambda side: _with(side.Lock(), lambda lock: lock.__aenter__(), locked=True),
    "Event.wait": lambda side: _with(side.Event(), lambda event: event.wait()),
    "Semaphore.acquire": lambda side: _with(side.Semaphore(0), lambda sem: sem.acquire()),
    "Condition.wait": lambda side: _with(side.Condition(), lambda c: c.wait(), locked=True),
    "Condition.wait_for": lambda side: _with(
        side.Condition(), lambda c: c.wait_for(lambda: not c), locked=True
    ),
    "Barrier.wait": lambda side: _with(side.Barrier(2), lambda barrier: barrier.wait()),
}


def _with(
    thing: Any, wait: Callable[[Any], Awaitable[Any]], *, locked: bool = False
) -> tuple[Any, Any]:
    if locked:
        with pytest.raises(StopIteration):
            thing.acquire().send(None)
    return thing, wait(thing)


@pytest.mark.parametrize("name", WAITS)
def test_cycle_through_a_wait(side: Side, name: str) -> None:
    """An object that holds the coroutine which waits for it, of which nobody else knows."""

    async def main() -> Any:
        thing, coroutine = WAITS[name](side)
        coroutine.send(None)
        thing.coroutine = coroutine
        return weakref.ref(thing)

    reference = side.run(main())
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("name", WAITS)
def test_cycle_through_a_coroutine_that_has_not_started(native_side: Side, name: str) -> None:
    thing, coroutine = WAITS[name](native_side)
    thing.coroutine = coroutine
    reference = weakref.ref(thing)
    del thing, coroutine
    with pytest.warns(RuntimeWarning, match="was never awaited"):
        gc.collect()
    assert reference() is None


async def _lock(side: Side, count: int) -> None:
    lock = side.Lock()

    async def contend() -> None:
        for _ in range(count // 2):
            async with lock:
                await asyncio.sleep(0)

    await asyncio.gather(contend(), contend())


async def _semaphore(side: Side, count: int) -> None:
    semaphore = side.BoundedSemaphore(1)

    async def contend() -> None:
        for _ in range(count // 2):
            async with semaphore:
                await asyncio.sleep(0)

    await asyncio.gather(contend(), contend())


async def _event(side: Side, count: int) -> None:
    event = side.Event()

    async def wait() -> None:
        for _ in range(count):
            await event.wait()
            event.clear()

    waiting = asyncio.create_task(wait())
    while not waiting.done():
        event.set()
        await asyncio.sleep(0)


async def _cancelled(side: Side, count: int) -> None:
    lock = side.Lock()
    await lock.acquire()
    for _ in range(count // 5):
        acquiring = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        acquiring.cancel()
        await turns(1)
    assert not lock._waiters


async def _condition(side: Side, count: int) -> None:
    condition = side.Condition()

    async def take_turns() -> None:
        for _ in range(count // 10):
            async with condition:
                condition.notify()
                await condition.wait()

    tasks = [asyncio.create_task(take_turns()) for _ in range(2)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _barrier(side: Side, count: int) -> None:
    barrier = side.Barrier(2)

    async def meet() -> None:
        for _ in range(count // 10):
            await barrier.wait()

    await asyncio.gather(meet(), meet())


async def _objects(side: Side, count: int) -> None:
    for _ in range(count // 10):
        for name in NAMES:
            _make(side, name)


@pytest.mark.parametrize(
    "use", [_lock, _semaphore, _event, _cancelled, _condition, _barrier, _objects]
)
def test_nothing_is_left_behind(native_side: Side, use: Any) -> None:
    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        await use(native_side, 2000)
        gc.collect()
        before = len(gc.get_objects()), sys.getrefcount(loop), sys.getrefcount(native_side.Lock)
        await use(native_side, COUNT)
        gc.collect()
        after = len(gc.get_objects()), sys.getrefcount(loop), sys.getrefcount(native_side.Lock)
        return max(now - then for now, then in zip(after, before, strict=True)), after[0]

    grown, _ = native_side.run(main())
    assert grown < 50
