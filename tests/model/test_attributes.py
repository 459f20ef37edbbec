"""The `__dict__` of primitives, queues and readers: programs copy and fill it, as on stock asyncio."""

import asyncio
import gc
import weakref
from typing import Any

import ouroloop
import pytest

from tests.support.both_ways import outputs

PROGRAM = """
import asyncio, copy, pickle
from functools import cached_property

class Semaphore(asyncio.BoundedSemaphore):
    def __getstate__(self):
        state = self.__dict__.copy()
        state.pop("unsaved", None)
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)

class Queue(asyncio.Queue):
    def __copy__(self):
        new = self.__class__.__new__(self.__class__)
        new.__dict__.update(self.__dict__)
        return new

    def __deepcopy__(self, memo):
        new = self.__class__.__new__(self.__class__)
        memo[id(self)] = new
        for name, value in self.__dict__.items():
            setattr(new, name, copy.deepcopy(value, memo))
        return new

class Lock(asyncio.Lock):
    def __copy__(self):
        new = Lock.__new__(Lock)
        new.__dict__ = dict(self.__dict__)
        return new

class Event(asyncio.Event):
    def __reduce__(self):
        return make_event, (dict(vars(self)),)

def make_event(state):
    event = Event.__new__(Event)
    vars(event).update(state)
    return event

class Lazy(asyncio.PriorityQueue):
    @cached_property
    def five(self):
        return 5

async def copies():
    semaphore = Semaphore(2)
    semaphore.unsaved, semaphore.tag = 1, "tag"
    await semaphore.acquire()
    for how in (copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
        twin = how(semaphore)
        print(twin._value, twin._bound_value, twin.tag, hasattr(twin, "unsaved"))
        await asyncio.wait_for(twin.acquire(), 20)
        print(twin.locked(), semaphore.locked())
    queue = Queue(3)
    queue.put_nowait(1)
    queue.name = "queue"
    for how in (copy.copy, copy.deepcopy):
        twin = how(queue)
        print(twin.qsize(), twin.maxsize, twin.name, twin._queue is queue._queue)
    print(await asyncio.wait_for(twin.get(), 20), queue.qsize())
    lock = Lock()
    await lock.acquire()
    twin = copy.copy(lock)
    lock.release()
    print(twin.locked(), lock.locked())
    event = Event()
    event.set()
    print(await asyncio.wait_for(copy.copy(event).wait(), 20))

def attributes():
    queue = asyncio.Queue(3)
    queue.name = "before"
    everything = vars(queue)
    print(sorted(everything), sorted(vars(asyncio.Lock())), sorted(vars(asyncio.Semaphore())))
    everything["name"], everything["_maxsize"] = "after", 9
    print(queue.name, queue.maxsize, len(everything), "name" in everything, everything.get("none", 4))
    print({**everything}["name"], dict(everything) == everything, isinstance(everything, dict))
    everything |= {"more": 1}
    print(queue.more, everything.pop("more"), hasattr(queue, "more"), everything.setdefault("name", 0))
    del everything["name"]
    print(hasattr(queue, "name"), type(everything.copy()), type(copy.copy(everything)))
    queue.seen = 1
    print("seen" in dir(queue), everything["seen"], everything | {"a": 1} == {"a": 1} | everything)
    for wrong in (lambda: everything["none"], lambda: everything.pop("none"), lambda: everything.__delitem__("none"),
                  lambda: setattr(queue, "__dict__", [])):
        try:
            wrong()
        except (KeyError, TypeError) as error:
            print(repr(error))
    everything.clear()
    print(hasattr(queue, "seen"), "seen" in everything)

async def others():
    reader = asyncio.StreamReader()
    reader.feed_data(b"abc")
    print([vars(reader)[name] for name in ("_buffer", "_eof", "_limit")])
    lazy = Lazy()
    lazy.put_nowait(3)
    lazy.put_nowait(1)
    print(lazy.five, vars(lazy)["five"], vars(lazy)["_queue"])

class Condition(asyncio.Condition):
    async def acquire(self):
        print("never called: the lock's own is an attribute of the object")

    def locked(self):
        return "as little"

async def conditions():
    condition = Condition()
    print(condition.locked())
    async with condition:
        print(condition.locked())
        condition.notify_all()
    await condition.acquire()
    condition.release()
    print("acquire" in vars(condition))

asyncio.run(copies())
asyncio.run(others())
asyncio.run(conditions())
%s
"""


@pytest.mark.parametrize("tail", ["attributes()", ""], ids=["attributes", "copies"])
def test_as_with_stock_asyncio(tail: str) -> None:
    stock, native = outputs(PROGRAM % tail)
    assert len(stock.splitlines()) > 15
    assert native == stock


def test_they_keep_their_object_alive_and_nothing_for_ever() -> None:
    queue: Any = ouroloop.Queue(2)
    queue.itself = vars(queue)
    attributes = vars(queue)
    gone = weakref.ref(queue)
    del queue
    assert attributes["_maxsize"] == 2
    del attributes
    gc.collect()
    assert gone() is None


def test_who_waits_is_seen_and_can_be_set() -> None:
    async def main() -> None:
        lock: Any = ouroloop.Lock()
        await lock.acquire()
        waiting = asyncio.ensure_future(lock.acquire())
        await asyncio.sleep(0)
        assert len(vars(lock)["_waiters"]) == 1
        lock._waiters = list(lock._waiters)
        with pytest.raises(TypeError):
            lock._waiters = 5
        lock.release()
        assert await waiting is True
        lock._waiters = None
        assert not lock._waiters

    ouroloop.run(main())
