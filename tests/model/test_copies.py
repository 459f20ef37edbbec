"""Copies and pickles of objects of asyncio's that nobody uses at the moment: as on stock asyncio, installed or not."""

import asyncio
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import ouroloop
import pytest

from tests.support.both_ways import outputs

Copy = Callable[[Any], Any]

PROGRAM = """
import asyncio, copy, pickle

def show(it):
    state = {}
    for name in ("_value", "_locked", "_bound_value", "_parties", "_count", "_maxsize", "_unfinished_tasks",
                 "_limit", "_eof", "_when", "tag", "slotted"):
        if hasattr(it, name):
            state[name] = getattr(it, name)
    for name in ("_queue", "_buffer"):
        if hasattr(it, name):
            state[name] = list(getattr(it, name))
    return type(it).__name__, state

class Tagged(asyncio.Queue):
    __slots__ = ("slotted",)
    def __init__(self, tag):
        super().__init__(2)
        self.tag, self.slotted = tag, [tag]

class Holder:
    def __init__(self):
        self.lock, self.semaphore, self.queue = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Queue()

async def objects():
    queue = asyncio.Queue(3)
    least, last = asyncio.PriorityQueue(), asyncio.LifoQueue()
    for it in (queue, least, last):
        it.put_nowait(3)
        it.put_nowait(1)
    event = asyncio.Event()
    event.set()
    semaphore, bounded = asyncio.Semaphore(3), asyncio.BoundedSemaphore(2)
    await semaphore.acquire()
    await bounded.acquire()
    lock = asyncio.Lock()
    lock.tag = {"deep": [1]}
    return [lock, event, asyncio.Condition(), semaphore, bounded, asyncio.Barrier(2), queue, least, last,
            asyncio.Timeout(5.0), asyncio.Timeout(None), Tagged("x")]

async def main():
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for it in await objects():
            print(protocol, show(pickle.loads(pickle.dumps(it, protocol))))
    for how in (copy.copy, copy.deepcopy):
        for it in await objects():
            print(how.__name__, show(how(it)))
    holder = pickle.loads(pickle.dumps(copy.deepcopy(Holder())))
    async with holder.lock, holder.semaphore:
        await holder.queue.put(1)
        print(holder.lock.locked(), holder.semaphore._value, await holder.queue.get())
    condition = copy.deepcopy(asyncio.Condition())
    async with condition:
        print(condition.locked(), condition._lock.locked())
        condition.notify_all()
    bounded = copy.copy(asyncio.BoundedSemaphore(1))
    try:
        bounded.release()
    except ValueError as error:
        print(error)
    barrier = copy.deepcopy(asyncio.Barrier(2))
    print(sorted(await asyncio.gather(barrier.wait(), barrier.wait())))
    queue = copy.deepcopy((await objects())[7])
    print(await queue.get(), queue.qsize())
    async with copy.copy(asyncio.timeout(None)) as timeout:
        print(timeout.when())
    reader = asyncio.StreamReader(limit=70)
    reader.feed_data(b"ab\\ncd")
    twin = copy.copy(reader)
    print(show(twin), await twin.readline())
    for attempt in (copy.deepcopy, pickle.dumps):
        try:
            attempt(reader)
        except Exception:
            print("refused")

asyncio.run(main())
"""


def test_as_with_stock_asyncio() -> None:
    stock, native = outputs(PROGRAM)
    assert len(stock.splitlines()) > 70
    assert native == stock


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_what_waits_is_refused(how: Copy) -> None:
    async def main() -> None:
        lock, event, queue = ouroloop.Lock(), ouroloop.Event(), ouroloop.Queue()
        await lock.acquire()
        tasks = [asyncio.ensure_future(it) for it in (lock.acquire(), event.wait(), queue.get())]
        await asyncio.sleep(0)
        for busy in (lock, event, queue):
            with pytest.raises(TypeError, match=r"cannot pickle '_asyncio\.Future' object"):
                how(busy)
        async with ouroloop.timeout(None) as timeout:
            with pytest.raises(TypeError, match=r"cannot pickle '_asyncio\.Task' object"):
                how(timeout)
        for task in tasks:
            task.cancel()

    ouroloop.run(main())


def test_a_copy_waits_for_itself() -> None:
    async def main() -> None:
        lock = ouroloop.Lock()
        await lock.acquire()
        twin = copy.copy(lock)
        assert twin.locked()
        waiting = asyncio.ensure_future(twin.acquire())
        await asyncio.sleep(0)
        lock.release()
        await asyncio.sleep(0)
        assert not waiting.done()
        twin.release()
        assert await waiting is True

    ouroloop.run(main())


def test_pickles_of_asyncio_are_read() -> None:
    """What a process without Ouroloop has written."""
    writer = (
        "import asyncio, pickle, sys; q = asyncio.Queue(4); q.put_nowait('a'); "
        "sys.stdout.buffer.write(pickle.dumps([q, asyncio.Semaphore(3), asyncio.Condition()]))"
    )
    written = subprocess.run([sys.executable, "-c", writer], capture_output=True, check=True).stdout
    ouroloop.install()
    try:
        queue, semaphore, condition = pickle.loads(written)
        assert isinstance(queue, ouroloop.Queue)
        assert (queue.maxsize, queue.get_nowait()) == (4, "a")
        assert semaphore._value == 3

        async def main() -> bool:
            async with semaphore, condition:
                return bool(condition.locked())

        assert ouroloop.run(main())
    finally:
        ouroloop.uninstall()


class Careful(ouroloop.Semaphore):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "seen": True}  # type: ignore[dict-item]


def test_a_derived_class_has_its_say() -> None:
    twin: Any = copy.deepcopy(Careful(4))
    assert type(twin) is Careful
    assert (twin._value, twin.seen) == (4, True)
    restored = pickle.loads(pickle.dumps(Careful(2)))
    assert (restored._value, restored.seen) == (2, True)
