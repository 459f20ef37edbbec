"""Native primitives used without end need no more memory than at the start."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ouroloop
import pytest
from ouroloop import _native

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc/self/statm"),
]

Work = Callable[[int], Awaitable[None]]

WARM_UP = 3_000
ROUNDS = 30_000
PAGE = 4096
#: What the allocators may round up. A leak of one pointer a round is 240 kB.
SLACK = 200_000


class Broken(Exception):
    """What a body raises on purpose."""


def of(name: str) -> Any:
    """A native class or function; skips the test where this build has none."""
    found = getattr(_native, name, None)
    if found is None:
        pytest.skip(f"no native {name}")
    return found


async def outlive(awaitable: Any) -> None:
    """Wait for something that is to be cancelled."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def queue(name: str) -> Work:
    async def work(count: int) -> None:
        make = of(name)
        narrow = make(2)

        async def produce() -> None:
            for item in range(count):
                await narrow.put(item)

        producer = asyncio.ensure_future(produce())
        for _ in range(count):
            await narrow.get()
            narrow.task_done()
        await producer
        await narrow.join()
        for _ in range(count // 10):
            short = make(1)
            await outlive(short.get())
            short.put_nowait(short)
            await outlive(short.put(1))
            await outlive(short.join())
            short.label = short._queue, short._getters, short._finished
        # Filled and emptied, it gives its memory back.
        wide = make()
        for item in range(count):
            wide.put_nowait(item)
        for _ in range(count):
            wide.get_nowait()

    return work


def derived_queue(name: str) -> Work:
    async def work(count: int) -> None:
        class Derived(of(name)):  # type: ignore[misc]
            def _init(self, maxsize: int) -> None:
                self._queue: list[Any] = []

            def _put(self, item: Any) -> None:
                self._queue.append(item)

            def _get(self) -> Any:
                return self._queue.pop()

        for _ in range(count // 5):
            it = Derived(1)
            it.label = it
            await it.put(it)
            await it.get()

    return work


def locking(name: str) -> Work:
    async def work(count: int) -> None:
        lock = of(name)()

        async def contend() -> None:
            for _ in range(count // 4):
                async with lock:
                    await asyncio.sleep(0)

        await asyncio.gather(*(contend() for _ in range(4)))
        for _ in range(count // 10):
            short = of(name)()
            async with short:
                await outlive(short.acquire())
            short.label = short

    return work


async def event(count: int) -> None:
    make = of("Event")
    for _ in range(count // 3):
        it = make()
        waiter = asyncio.ensure_future(it.wait())
        await asyncio.sleep(0)
        it.set()
        await waiter
        it.clear()
        await outlive(it.wait())
        it.label = it


async def condition(count: int) -> None:
    make = of("Condition")
    for _ in range(count // 5):
        it = make()

        async def wait(it: Any = it) -> None:
            async with it:
                await it.wait()

        waiter = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        async with it:
            it.notify_all()
        await waiter
        await outlive(wait())
        it.label = it


async def barrier(count: int) -> None:
    make = of("Barrier")
    it = make(2)
    for _ in range(count // 5):
        await asyncio.gather(it.wait(), it.wait())
        short = make(2)
        await outlive(short.wait())
        short.label = short


async def sleep(count: int) -> None:
    rest = of("sleep")
    for number in range(count):
        await rest(0, number)
    for _ in range(count // 10):
        await rest(1e-6)
        await outlive(rest(3600))


async def fail() -> None:
    raise Broken


async def gather(count: int) -> None:
    together = of("gather")
    for _ in range(count // 10):
        await together(*(asyncio.sleep(0) for _ in range(3)))
        await together(fail(), asyncio.sleep(0), return_exceptions=True)
        await outlive(together(asyncio.sleep(3600), asyncio.sleep(3600)))


async def wait(count: int) -> None:
    until = of("wait")
    for _ in range(count // 10):
        tasks = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(3)]
        await until(tasks)
        await until(tasks[:1], timeout=0)
        late = asyncio.ensure_future(asyncio.sleep(3600))
        await outlive(until([late]))
        await until([late], timeout=0)
        await outlive(late)


async def wait_for(count: int) -> None:
    within = of("wait_for")
    for _ in range(count // 10):
        await within(asyncio.sleep(0), 3600)
        await within(asyncio.sleep(0), None)
        with pytest.raises(asyncio.TimeoutError):
            await within(asyncio.sleep(3600), 0)
        await outlive(within(asyncio.sleep(3600), 3600))


async def shield(count: int) -> None:
    protect = of("shield")
    for _ in range(count // 5):
        inner = asyncio.ensure_future(asyncio.sleep(0))
        await outlive(protect(inner))
        await protect(inner)


async def as_completed(count: int) -> None:
    one_by_one = of("as_completed")
    for _ in range(count // 10):
        for ended in one_by_one([asyncio.sleep(0), asyncio.sleep(0)]):
            await ended


async def timeout(count: int) -> None:
    limit = of("timeout")
    for _ in range(count // 5):
        async with limit(3600):
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with limit(0):
                await asyncio.sleep(3600)


async def task_group(count: int) -> None:
    make = of("TaskGroup")

    async def broken_group() -> None:
        async with make() as group:
            group.create_task(fail())
            await asyncio.sleep(3600)

    for _ in range(count // 10):
        async with make() as group:
            group.create_task(asyncio.sleep(0))
            group.create_task(asyncio.sleep(0))
        with pytest.raises(BaseExceptionGroup):
            await broken_group()


async def future(count: int) -> None:
    loop = asyncio.get_running_loop()
    for number in range(count):
        it = of("Future")()
        it.add_done_callback(id)
        loop.call_soon(it.set_result, number)
        await it
    for _ in range(count // 10):
        it = of("Future")()
        it.label = it
        await outlive(it)


async def task(count: int) -> None:
    for _ in range(count // 3):
        it = of("Task")(asyncio.sleep(0))
        await it
        it.label = it
        await outlive(of("Task")(asyncio.sleep(3600)))


PRIMITIVES: dict[str, Work] = {
    "Future": future,
    "Task": task,
    "Queue": queue("Queue"),
    "PriorityQueue": queue("PriorityQueue"),
    "LifoQueue": queue("LifoQueue"),
    "derived Queue": derived_queue("Queue"),
    "derived PriorityQueue": derived_queue("PriorityQueue"),
    "Lock": locking("Lock"),
    "Semaphore": locking("Semaphore"),
    "BoundedSemaphore": locking("BoundedSemaphore"),
    "Event": event,
    "Condition": condition,
    "Barrier": barrier,
    "sleep": sleep,
    "gather": gather,
    "wait": wait,
    "wait_for": wait_for,
    "shield": shield,
    "as_completed": as_completed,
    "timeout": timeout,
    "TaskGroup": task_group,
}


def resident() -> int:
    """How much memory the process uses, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def tracked() -> int:
    """How many objects the garbage collector knows, once it has collected."""
    for _ in range(3):
        gc.collect()
    return len(gc.get_objects())


@pytest.mark.parametrize("kind", ["ouroloop", "asyncio"])
@pytest.mark.parametrize("name", PRIMITIVES)
def test_memory_stays_flat(name: str, kind: str) -> None:
    of(name.rpartition(" ")[2])
    factory = ouroloop.new_event_loop if kind == "ouroloop" else asyncio.SelectorEventLoop
    work = PRIMITIVES[name]
    loop = factory()
    try:
        loop.run_until_complete(work(WARM_UP))
        loop.run_until_complete(work(ROUNDS))
        objects, memory = tracked(), resident()
        references = sys.getrefcount(None)
        # The second of two equal runs finds all the room that the first one needed.
        loop.run_until_complete(work(ROUNDS))
        grown = tracked() - objects, resident() - memory
        more = sys.getrefcount(None) - references
    finally:
        loop.close()
    assert grown[0] < 50
    assert grown[1] < SLACK
    assert more < 1000
