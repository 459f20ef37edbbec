"""The exception that ends a coroutine belongs to who catches it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ouroloop import _native


def free_lock() -> Coroutine[Any, Any, Any]:
    return _native.Lock().acquire()


def free_semaphore() -> Coroutine[Any, Any, Any]:
    return _native.Semaphore(1).acquire()


def set_event() -> Coroutine[Any, Any, Any]:
    event = _native.Event()
    event.set()
    return event.wait()


def free_condition() -> Coroutine[Any, Any, Any]:
    return _native.Condition().acquire()


def last_of_a_barrier() -> Coroutine[Any, Any, Any]:
    return _native.Barrier(1).wait()


def filled_queue() -> Coroutine[Any, Any, Any]:
    queue: asyncio.Queue[bool] = _native.Queue()
    queue.put_nowait(True)
    return queue.get()


AT_ONCE = [free_lock, free_semaphore, set_event, free_condition, filled_queue, last_of_a_barrier]


def stop_of(step: Callable[[], object]) -> StopIteration:
    """Return what a step ends with, and keep no other reference to it."""
    try:
        step()
    except StopIteration as stop:
        return stop.with_traceback(None)
    pytest.fail("it did not end")


STEPS: dict[str, Callable[[Any], Callable[[], object]]] = {
    "send": lambda coroutine: lambda: coroutine.send(None),
    "next": lambda coroutine: coroutine.__await__().__next__,
    "iterated": lambda coroutine: lambda: next(coroutine.__await__()),
}


def change(stop: StopIteration) -> None:
    stop.value = "changed"
    stop.args = ("changed",)
    stop.__context__ = KeyError("secret")
    stop.__cause__ = KeyError("secret")
    stop.add_note("changed")


def parts_of(stop: StopIteration) -> tuple[object, ...]:
    return stop.value, stop.args, stop.__context__, stop.__cause__, vars(stop)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("way", STEPS)
@pytest.mark.parametrize("make", AT_ONCE)
def test_a_changed_exception_changes_no_other_answer(
    make: Callable[[], Coroutine[Any, Any, Any]], way: str, *, kept: bool
) -> None:
    async def main() -> None:
        step = STEPS[way]
        answer = await make()
        stops: list[StopIteration] = []
        for _ in range(3):
            stop = stop_of(step(make()))
            assert all(stop is not other for other in stops)
            assert parts_of(stop) == (answer, (answer,), None, None, {})
            change(stop)
            if kept:
                stops.append(stop)
            del stop
            assert await make() == answer

    with asyncio.Runner() as runner:
        runner.run(main())
