"""Native objects are what a program takes them for: classes, attributes, weak references."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Generator
from typing import Any

import ouroloop
import pytest

from .conftest import turn


async def nothing() -> None:
    """End at once."""


Maker = Callable[[asyncio.AbstractEventLoop], Any]


def make_task(loop: asyncio.AbstractEventLoop) -> "asyncio.Task[None]":
    return loop.create_task(nothing())


MAKERS: dict[str, tuple[Maker, list[type]]] = {
    "future": (lambda loop: loop.create_future(), [asyncio.Future]),
    "task": (make_task, [asyncio.Task, asyncio.Future]),
    "handle": (lambda loop: loop.call_soon(int), [asyncio.Handle]),
    "timer": (lambda loop: loop.call_later(0, int), [asyncio.TimerHandle, asyncio.Handle]),
    "threadsafe": (lambda loop: loop.call_soon_threadsafe(int), [asyncio.Handle]),
}


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> tuple[Maker, list[type]]:
    """Each kind of object that a loop makes, and its standard classes."""
    return MAKERS[request.param]


def test_isinstance(loop: asyncio.AbstractEventLoop, kind: tuple[Maker, list[type]]) -> None:
    make, classes = kind
    made = make(loop)
    for cls in (asyncio.Task, asyncio.Future, asyncio.TimerHandle, asyncio.Handle):
        assert isinstance(made, cls) == (cls in classes)
    # Stock asyncio may have a private class of its own in between.
    assert classes[0] in made.__class__.__mro__
    assert asyncio.isfuture(made) == (asyncio.Future in classes)
    turn(loop, 2)


def test_native_types(native: ouroloop.Loop) -> None:
    assert type(native.create_future()) is ouroloop.Future
    assert type(make_task(native)) is ouroloop.Task
    assert type(native.call_soon(int)) is ouroloop.Handle
    assert type(native.call_later(0, int)) is ouroloop.TimerHandle
    turn(native, 2)


@pytest.mark.parametrize("name", ["future", "task"])
def test_attributes(loop: asyncio.AbstractEventLoop, name: str) -> None:
    made = MAKERS[name][0](loop)
    made.foo = [made]
    assert made.foo[0] is made
    del made.foo
    with pytest.raises(AttributeError):
        _ = made.foo
    turn(loop, 2)


@pytest.mark.parametrize("name", ["future", "task"])
def test_a_recycled_object_has_no_old_attributes(
    loop: asyncio.AbstractEventLoop, name: str
) -> None:
    make = MAKERS[name][0]
    for _ in range(20):
        made = make(loop)
        assert not hasattr(made, "foo")
        made.foo = 1
        turn(loop, 2)
        del made


def test_dead_references_stay_dead(
    loop: asyncio.AbstractEventLoop, kind: tuple[Maker, list[type]]
) -> None:
    make, _ = kind
    gone: list[int] = []
    dead: list[weakref.ref[Any]] = []
    for number in range(50):
        made = make(loop)
        dead.append(weakref.ref(made, lambda _, number=number: gone.append(number)))  # type: ignore[misc]
        assert dead[-1]() is made
        turn(loop, 2)
        del made
        gc.collect(0)
        assert gone == list(range(number + 1))
    alive = [make(loop) for _ in range(60)]
    assert [reference() for reference in dead] == [None] * 50
    references = [weakref.ref(made) for made in alive]
    assert [reference() for reference in references] == alive
    turn(loop, 2)


def test_weak_containers(loop: asyncio.AbstractEventLoop, kind: tuple[Maker, list[type]]) -> None:
    make, _ = kind
    weak: weakref.WeakSet[Any] = weakref.WeakSet()
    keyed: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
    made = [make(loop) for _ in range(10)]
    weak.update(made)
    keyed[made[0]] = "first"
    assert set(weak) == set(made)
    turn(loop, 2)
    made.clear()
    gc.collect()
    assert not weak
    assert not keyed


@pytest.mark.parametrize("base", [asyncio.Future, ouroloop.Future])
def test_future_subclass(loop: asyncio.AbstractEventLoop, base: Any) -> None:
    class Mine(base):  # type: ignore[misc]
        def __init__(self, label: str, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.label = label
            self.calls: list[str] = []

        def add_done_callback(self, *args: Any, **keywords: Any) -> None:
            self.calls.append("add")
            super().add_done_callback(*args, **keywords)

        def cancel(self, msg: Any = None) -> bool:
            self.calls.append(f"cancel {msg}")
            return bool(super().cancel(msg=msg))

    async def wait(future: Any) -> Any:
        return await future

    mine = Mine("label", loop=loop)
    assert (mine.label, type(mine), isinstance(mine, Mine)) == ("label", Mine, True)
    assert asyncio.isfuture(mine)
    waiting = loop.create_task(wait(mine))
    turn(loop)
    assert mine.calls == ["add"]
    waiting.cancel("enough")
    assert mine.calls == ["add", "cancel enough"]
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(waiting)
    assert mine.cancelled()


@pytest.mark.parametrize("base", [asyncio.Task, ouroloop.Task])
def test_task_subclass(loop: asyncio.AbstractEventLoop, base: Any) -> None:
    class Mine(base):  # type: ignore[misc]
        def __init__(self, coro: Any, *, label: str, **keywords: Any) -> None:
            self.label = label
            super().__init__(coro, **keywords)
            self.cancellations: list[Any] = []

        def cancel(self, msg: Any = None) -> bool:
            self.cancellations.append(msg)
            return bool(super().cancel(msg=msg))

    async def forever() -> None:
        await loop.create_future()

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **keywords: Any) -> Any:
        return Mine(coro, loop=loop, label="made", **keywords)

    loop.set_task_factory(make)
    mine: Any = loop.create_task(forever(), name="inner")
    assert (type(mine), mine.label, mine.get_name()) == (Mine, "made", "inner")

    async def outer() -> None:
        await mine

    waiting: Any = loop.create_task(outer())
    turn(loop, 2)
    waiting.cancel("through")
    assert (waiting.cancellations, mine.cancellations) == (["through"], ["through"])
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(waiting)
    assert mine.cancelled()


@pytest.mark.parametrize("base", [asyncio.Handle, ouroloop.Handle])
def test_handle_subclass(loop: asyncio.AbstractEventLoop, base: Any) -> None:
    class Mine(base):  # type: ignore[misc]
        def cancel(self) -> None:
            self.cancel_called = True
            super().cancel()

    calls: list[int] = []
    mine = Mine(calls.append, (1,), loop)
    mine.extra = 1
    mine._run()
    mine.cancel()
    assert (calls, mine.cancelled(), mine.cancel_called) == ([1], True, True)
    assert weakref.ref(mine)() is mine


def test_awaiting_by_hand(loop: asyncio.AbstractEventLoop) -> None:
    future: asyncio.Future[Any] = loop.create_future()
    steps: Generator[Any, None, Any] = future.__await__()
    assert iter(steps) is steps
    assert next(steps) is future
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        next(steps)
    future.set_result((1, 2))
    with pytest.raises(StopIteration) as stopped:
        next(steps)
    assert stopped.value.value == (1, 2)
    thrown = loop.create_future().__await__()
    with pytest.raises(KeyError):
        thrown.throw(KeyError("x"))


def test_a_closed_iterator_is_at_its_end(native: ouroloop.Loop) -> None:
    """Stock asyncio is left out: CPython 3.14's own iterator crashes here."""
    steps = native.create_future().__await__()
    steps.close()
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(steps)


@pytest.mark.parametrize(
    "value", [None, 0, (), (1,), [1], ValueError("as a value"), StopIteration(3)]
)
def test_results_of_any_kind_travel(loop: asyncio.AbstractEventLoop, value: object) -> None:
    async def relay(future: "asyncio.Future[object]") -> object:
        return await future

    future: asyncio.Future[object] = loop.create_future()
    loop.call_soon(future.set_result, value)
    assert loop.run_until_complete(relay(future)) is value
    assert future.result() is value
    # Stepped by Python code, the value travels in a StopIteration.
    steps = future.__await__()
    with pytest.raises(StopIteration) as stopped:
        steps.send(None)
    assert stopped.value.value is value
