"""Handles: what they tell and what becomes of their callbacks, whoever keeps or drops them."""

import asyncio
import contextvars
import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import ouroloop
import pytest

from .conftest import turn

Schedule = Callable[..., asyncio.Handle]


@pytest.fixture(params=["call_soon", "call_later", "call_at", "call_soon_threadsafe"])
def schedule(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Schedule:
    """A way to have a callback called in the next turn or two."""

    def schedule(callback: Any, *args: Any, **keywords: Any) -> asyncio.Handle:
        when = {"call_later": (0,), "call_at": (loop.time(),)}.get(request.param, ())
        return getattr(loop, request.param)(*when, callback, *args, **keywords)

    return schedule


def context_of(handle: Any) -> contextvars.Context:
    return handle._context


class Weak:
    """Something that can be watched."""

    def note(self) -> None:
        pass


def test_a_handle_tells_what_waits(loop: asyncio.AbstractEventLoop, schedule: Schedule) -> None:
    handle: Any = schedule(print, 1, 2)
    assert handle._callback is print
    assert handle._args == (1, 2)
    assert handle._loop is loop
    assert handle._context is handle._context
    assert "print(1, 2)" in repr(handle) or "print()" in repr(handle)
    assert not handle.cancelled()


def test_a_handle_tells_it_after_the_call(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    called: list[int] = []
    handle: Any = schedule(called.append, 7)
    turn(loop, 2)
    assert called == [7]
    assert handle._callback == called.append
    assert handle._args == (7,)
    assert handle._loop is loop


@pytest.mark.parametrize("looked", [False, True])
def test_a_cancelled_callback_is_not_called_and_let_go(
    loop: asyncio.AbstractEventLoop, schedule: Schedule, *, looked: bool
) -> None:
    argument = Weak()
    gone = weakref.ref(argument)
    called: list[Any] = []
    handle: Any = schedule(called.append, argument)
    if looked:
        assert handle._args == (argument,)
    del argument
    handle.cancel()
    handle.cancel()
    assert handle.cancelled()
    assert gone() is None
    assert handle._callback is None
    assert handle._args is None
    assert handle._loop is loop
    assert isinstance(handle._context, contextvars.Context)
    assert "cancelled" in repr(handle)
    turn(loop, 2)
    assert called == []


def test_a_cancelled_callback_keeps_the_others_places(loop: asyncio.AbstractEventLoop) -> None:
    called: list[int] = []
    handles = [loop.call_soon(called.append, number) for number in range(10)]
    for handle in handles[::3]:
        handle.cancel()
    del handles[5:]
    turn(loop)
    assert called == [1, 2, 4, 5, 7, 8]


def test_a_callback_outlives_its_handle(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    called: list[int] = []
    for number in range(100):
        schedule(called.append, number)
    gc.collect()
    turn(loop, 3)
    assert called == list(range(100))


def test_a_weak_reference_holds_until_the_call(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    called: list[Any] = []
    handle: Any = schedule(lambda: called.append(reference()))
    reference = weakref.ref(handle)
    del handle
    gc.collect()
    kept = reference()
    assert kept is not None
    assert not kept.cancelled()
    del kept
    turn(loop, 3)
    assert len(called) == 1
    assert called != [None]
    called.clear()
    gc.collect()
    assert reference() is None


def test_a_callback_that_only_its_owner_refers_to_is_called(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    called: list[int] = []

    class Owner:
        def __init__(self) -> None:
            self.handle = schedule(self.act)

        def act(self) -> None:
            called.append(1)

    Owner()
    gc.collect()
    turn(loop, 3)
    assert called == [1]


def test_an_owner_is_collected_after_the_call(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    owner: Any = Weak()
    owner.handle = schedule(owner.note)
    gone = weakref.ref(owner)
    del owner
    turn(loop, 3)
    gc.collect()
    assert gone() is None


def test_contexts(loop: asyncio.AbstractEventLoop, schedule: Schedule) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    def change(value: str) -> None:
        seen.append(variable.get())
        variable.set(value)

    variable.set("before")
    schedule(change, "one")
    kept = schedule(change, "two")
    variable.set("after")
    schedule(change, "three")
    given = contextvars.copy_context()
    given.run(variable.set, "given")
    schedule(change, "four", context=given)
    turn(loop, 3)
    assert seen == ["before", "before", "after", "given"]
    assert variable.get() == "after"
    assert given[variable] == "four"
    assert context_of(kept)[variable] == "two"


def test_a_token_is_good_in_its_context_alone(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    tokens: list[contextvars.Token[int]] = []
    errors: list[type] = []

    def reset() -> None:
        try:
            variable.reset(tokens[0])
        except (ValueError, LookupError) as error:
            errors.append(type(error))

    schedule(lambda: tokens.append(variable.set(1)))
    turn(loop, 3)
    schedule(reset)
    schedule(lambda: tokens.append(variable.set(2)))
    turn(loop, 3)
    assert errors == [ValueError]
    assert len(tokens) == 2


def test_values_of_a_context_go_with_the_callback(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    variable: contextvars.ContextVar[Weak] = contextvars.ContextVar("variable")
    value = Weak()
    gone = weakref.ref(value)
    schedule(variable.set, value)
    del value
    turn(loop, 3)
    schedule(int)
    turn(loop, 3)
    gc.collect()
    assert gone() is None


def test_callbacks_inside_callbacks_have_contexts_of_their_own(
    loop: asyncio.AbstractEventLoop,
) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []

    def dig(depth: int) -> None:
        seen.append(variable.get())
        variable.set(depth)
        if depth < 5:
            loop.call_soon(dig, depth + 1)

    loop.call_soon(dig, 1)
    turn(loop, 6)
    assert seen == [0, 1, 2, 3, 4]
    assert variable.get() == 0


def test_a_handle_outlives_its_loop() -> None:
    loop = ouroloop.new_event_loop()
    handles: list[Any] = [loop.call_soon(print, 1), loop.call_later(1000, print, 2)]
    loop.close()
    assert [handle._args for handle in handles] == [(1,), (2,)]
    del loop
    gc.collect()
    assert [handle._callback for handle in handles] == [print, print]
    for handle in handles:
        handle.cancel()
        assert handle.cancelled()


@pytest.mark.filterwarnings("ignore:unclosed event loop")
def test_a_handle_of_a_loop_that_was_dropped() -> None:
    loop = ouroloop.new_event_loop()
    handles: list[Any] = [loop.call_soon(print, 1), loop.call_later(1000, print, 2)]
    del loop
    gc.collect()
    assert [handle.cancelled() for handle in handles] == [False, False]
    for handle in handles:
        handle.cancel()
    assert [handle._args for handle in handles] == [None, None]


def test_a_handle_made_anew_while_it_waits(loop: asyncio.AbstractEventLoop) -> None:
    called: list[int] = []
    handle: Any = loop.call_soon(called.append, 1)
    handle.__init__(called.append, (2,), loop)
    turn(loop)
    assert called == [2]


def test_counts_of_contents_are_balanced(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    class Count:
        def __call__(self, *_: object) -> None:
            pass

    callback, argument = Count(), Weak()

    def counts() -> tuple[int, int]:
        return sys.getrefcount(callback), sys.getrefcount(argument)

    def use() -> None:
        schedule(callback, argument)
        kept = schedule(callback, argument)
        looked: Any = schedule(callback, argument)
        assert looked._args
        schedule(callback, argument).cancel()
        turn(loop, 3)
        kept.cancel()

    use()
    before = counts()
    for _ in range(50):
        use()
    assert counts() == before


def test_debug_mode_that_comes_while_callbacks_wait(
    loop: asyncio.AbstractEventLoop, schedule: Schedule
) -> None:
    called: list[int] = []
    schedule(called.append, 1)
    kept = schedule(called.append, 2)
    loop.set_debug(True)
    turn(loop, 3)
    assert called == [1, 2]
    assert not kept.cancelled()
