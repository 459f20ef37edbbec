"""The native classes look like the standard ones."""

import asyncio
import gc
import inspect
import re
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from ouroloop import _native

from tests.support.releases import stock_has

from .conftest import NAMES, Side, turns

METHODS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Lock.acquire": ("Lock", lambda thing: thing.acquire()),
    "Event.wait": ("Event", lambda thing: thing.wait()),
    "Condition.wait": ("Condition", lambda thing: thing.wait()),
    "Condition.wait_for": ("Condition", lambda thing: thing.wait_for(bool)),
    "Semaphore.acquire": ("BoundedSemaphore", lambda thing: thing.acquire()),
    "Barrier.wait": ("Barrier", lambda thing: thing.wait()),
    "Barrier.reset": ("Barrier", lambda thing: thing.reset()),
    "Barrier.abort": ("Barrier", lambda thing: thing.abort()),
    "Barrier.__aenter__": ("Barrier", lambda thing: thing.__aenter__()),
    "Barrier.__aexit__": ("Barrier", lambda thing: thing.__aexit__()),
    "_ContextManagerMixin.__aenter__": ("Lock", lambda thing: thing.__aenter__()),
    "_ContextManagerMixin.__aexit__": (
        "Semaphore",
        lambda thing: thing.__aexit__(None, None, None),
    ),
}


def _make(side: Side, name: str) -> Any:
    return getattr(side, name)(*([2] if name == "Barrier" else []))


def _extra(thing: Any) -> str:
    return re.fullmatch(r"<\S+ object at 0x[0-9a-f]+ \[(.*)\]>", repr(thing))[1]  # type: ignore[index]


@pytest.mark.parametrize("name", NAMES)
def test_is_an_instance_of_the_standard_class(side: Side, name: str) -> None:
    thing = _make(side, name)
    assert isinstance(thing, getattr(asyncio.locks, name))
    assert isinstance(thing, getattr(side, name))
    assert thing.__class__ is getattr(asyncio.locks, name)
    assert repr(thing).startswith(f"<asyncio.locks.{name} object at 0x")


@pytest.mark.parametrize("name", NAMES)
def test_class(side: Side, name: str) -> None:
    cls = getattr(side, name)
    standard = getattr(asyncio.locks, name)
    assert (cls.__name__, cls.__qualname__, cls.__module__) == (name, name, "asyncio.locks")
    assert str(inspect.signature(cls)) == str(inspect.signature(standard))
    public = {attribute for attribute in dir(standard) if not attribute.startswith("_")}
    assert public <= set(dir(cls))
    for attribute in public:
        assert bool(getattr(cls, attribute).__doc__) == bool(getattr(standard, attribute).__doc__)


@pytest.mark.parametrize("name", NAMES)
def test_takes_no_loop(side: Side, name: str) -> None:
    message = rf"^{name}\.__init__\(\) got an unexpected keyword argument 'loop'$"
    with pytest.raises(TypeError, match=message):
        getattr(side, name)(*([2] if name == "Barrier" else []), loop=None)


@pytest.mark.parametrize("name", NAMES)
def test_takes_attributes_and_weak_references(side: Side, name: str) -> None:
    thing = _make(side, name)
    thing.remark = "mine"
    assert vars(thing)["remark"] == "mine"
    reference = weakref.ref(thing)
    assert reference() is thing
    del thing
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("name", NAMES)
def test_derived_class(side: Side, name: str) -> None:
    class Derived(getattr(side, name)):  # type: ignore[misc]
        def __init__(self, *args: Any, remark: str) -> None:
            self.remark = remark
            super().__init__(*args)

    thing = Derived(*([2] if name == "Barrier" else []), remark="mine")
    assert thing.remark == "mine"
    assert thing.__class__ is Derived
    assert f".Derived object at 0x" in repr(thing)  # noqa: F541
    assert isinstance(thing, getattr(side, name))


@pytest.mark.parametrize("name", NAMES)
def test_cannot_be_awaited(side: Side, name: str) -> None:
    async def main() -> None:
        await _make(side, name)

    text = "object can't be awaited" if sys.version_info >= (3, 14) else f"object {name} can't be"
    with pytest.raises(TypeError, match=text):
        side.run(main())


@pytest.mark.parametrize("qualified", METHODS)
def test_coroutines(side: Side, qualified: str) -> None:
    name, method = METHODS[qualified]
    thing = _make(side, name)
    before = repr(thing)
    coroutine = method(thing)
    assert asyncio.iscoroutine(coroutine)
    assert coroutine.__qualname__ == qualified
    assert repr(thing) == before
    kept = [coroutine]
    del coroutine
    message = f"^coroutine '{re.escape(qualified)}' was never awaited"
    with pytest.warns(RuntimeWarning, match=message):
        kept.clear()
    assert repr(thing) == before


def test_representations(side: Side) -> None:
    async def main() -> list[str]:
        lock, event, semaphore = side.Lock(), side.Event(), side.Semaphore(2)
        condition, barrier = side.Condition(lock), side.Barrier(3)
        things = [lock, event, semaphore, condition, barrier]
        seen = [_extra(thing) for thing in things]
        await lock.acquire()
        event.set()
        await semaphore.acquire()
        await semaphore.acquire()
        seen += [_extra(thing) for thing in things]
        event.clear()
        coroutines = [lock.acquire(), event.wait(), semaphore.acquire(), barrier.wait()]
        tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
        await turns()
        seen += [_extra(thing) for thing in things]
        for task in tasks:
            task.cancel()
        await barrier.abort()
        await turns(2)
        return [*seen, _extra(barrier), _extra(semaphore)]

    assert side.run(main()) == [
        "unlocked",
        "unset",
        "unlocked, value:2",
        "unlocked",
        "filling, waiters:0/3",
        "locked",
        "set",
        "locked",
        "locked",
        "filling, waiters:0/3",
        "locked, waiters:1",
        "unset, waiters:1",
        "locked, waiters:1",
        "locked",
        "filling, waiters:1/3",
        "broken",
        "locked",
    ]


@pytest.mark.parametrize("name", ["Lock", "Event", "Semaphore", "Condition"])
def test_belongs_to_the_first_loop_on_which_somebody_waits(side: Side, name: str) -> None:
    thing = side.Semaphore(0) if name == "Semaphore" else _make(side, name)

    async def wait() -> None:
        if name == "Lock" and not thing.locked():
            await thing.acquire()
        if name == "Condition" and not thing.locked():
            await thing.acquire()
        waiting = thing.wait() if name in {"Event", "Condition"} else thing.acquire()
        await asyncio.wait_for(waiting, 0.001)

    assert thing._loop is None
    with pytest.raises(TimeoutError):
        side.run(wait())
    assert isinstance(thing._loop, asyncio.AbstractEventLoop)
    if name == "Condition":
        thing.release()
        thing._lock._loop = None
    with pytest.raises(RuntimeError, match=rf"^<.*{name} .*> is bound to a different event loop$"):
        side.run(wait())


def test_messages(side: Side) -> None:
    with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
        side.Lock().release()
    with pytest.raises(RuntimeError, match=r"^cannot notify on un-acquired lock$"):
        side.Condition().notify()
    with pytest.raises(RuntimeError, match=r"^cannot notify on un-acquired lock$"):
        side.Condition().notify_all()
    with pytest.raises(RuntimeError, match=r"^cannot wait on un-acquired lock$"):
        side.run(side.Condition().wait())
    for make in (side.Semaphore, side.BoundedSemaphore):
        with pytest.raises(ValueError, match=r"^Semaphore initial value must be >= 0$"):
            make(-1)
        with pytest.raises(TypeError, match="'<' not supported between instances of"):
            make(None)
    with pytest.raises(ValueError, match=r"^BoundedSemaphore released too many times$"):
        side.BoundedSemaphore(1).release()
    least = ">= 1" if stock_has((3, 13, 2)) else "> 0"
    with pytest.raises(ValueError, match=rf"^parties must be {least}$"):
        side.Barrier(0)
    with pytest.raises(TypeError, match=r"^Barrier.__init__\(\) missing 1 required positional"):
        side.Barrier()


def test_semaphore_counts_with_any_number(side: Side) -> None:
    async def main(value: Any) -> list[str]:
        bounded = value < float("inf")
        semaphore = (side.BoundedSemaphore if bounded else side.Semaphore)(value)
        seen = [_extra(semaphore)]
        async with semaphore:
            seen.append(_extra(semaphore))
        return [*seen, _extra(semaphore)]

    seen = [side.run(main(value)) for value in (float("inf"), 2**70, True, 2**63 - 1)]
    assert seen == [
        ["unlocked, value:inf"] * 3,
        [f"unlocked, value:{value}" for value in (2**70, 2**70 - 1, 2**70)],
        ["unlocked, value:True", "locked", "unlocked, value:1"],
        [f"unlocked, value:{value}" for value in (2**63 - 1, 2**63 - 2, 2**63 - 1)],
    ]


def test_bounded_semaphore_is_a_semaphore() -> None:
    assert issubclass(_native.BoundedSemaphore, _native.Semaphore)
    assert isinstance(_native.BoundedSemaphore(), asyncio.locks.Semaphore)


def test_a_stop_iteration_that_was_caught_is_not_given_again() -> None:
    event = _native.Event()
    event.set()
    caught = []
    for _ in range(3):
        with pytest.raises(StopIteration) as info:
            next(event.wait())  # type: ignore[call-overload]
        caught.append(info.value)
        assert info.value.value is True
    assert len({id(error) for error in caught}) == 3


def test_coroutine_closed_before_the_start_leaves_no_trace(side: Side) -> None:
    lock = side.Lock()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lock.acquire().close()
    assert not lock.locked()


def test_stop_iteration_thrown_by_hand(side: Side) -> None:
    async def main() -> Any:
        waiting = side.Event().wait()
        waiting.send(None)
        with pytest.raises(StopIteration) as stopped:
            waiting.throw(StopIteration("ends the await of the future, not the wait"))
        return stopped.value.value

    assert side.run(main()) is True
