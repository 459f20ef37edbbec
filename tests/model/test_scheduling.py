"""Order and time: callbacks, timers, cancelling, stopping."""

import asyncio
import math
import threading
import time
from functools import partial
from typing import Any

import ouroloop
import pytest

from .conftest import Reports, turn

Loop = asyncio.AbstractEventLoop


def test_soon_and_threadsafe_share_one_order(loop: Loop) -> None:
    seen: list[int] = []
    for number in range(100):
        (loop.call_soon_threadsafe if number % 3 == 0 else loop.call_soon)(seen.append, number)
    turn(loop)
    assert seen == list(range(100))


def test_order_between_threads(loop: Loop) -> None:
    seen: list[tuple[int, int]] = []

    def work(name: int) -> None:
        for number in range(200):
            loop.call_soon_threadsafe(seen.append, (name, number))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]

    async def main() -> None:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    turn(loop)
    for name in range(3):
        assert [n for owner, n in seen if owner == name] == list(range(200))


def test_what_a_callback_schedules_waits(loop: Loop) -> None:
    seen: list[str] = []
    loop.call_soon(lambda: loop.call_soon(seen.append, "second turn"))
    loop.call_soon(seen.append, "first turn")
    turn(loop)
    assert seen == ["first turn"]
    turn(loop)
    assert seen == ["first turn", "second turn"]


def test_steps_and_callbacks_share_one_order(loop: Loop) -> None:
    seen: list[str] = []

    async def task(name: str) -> None:
        seen.append(name)
        await asyncio.sleep(0)
        seen.append(name)

    loop.call_soon(seen.append, "a")
    first = loop.create_task(task("b"))
    future = loop.create_future()
    future.add_done_callback(lambda _: seen.append("c"))
    future.set_result(None)
    second = loop.create_task(task("d"))
    loop.call_soon_threadsafe(seen.append, "e")
    turn(loop, 2)
    assert "".join(seen) == "abcdebd"
    assert first.done()
    assert second.done()


def test_equal_deadlines_in_order(native: ouroloop.Loop) -> None:
    seen: list[int] = []
    when = native.time()
    for number in range(200):
        native.call_at(when, seen.append, number)
    native.call_at(when - 1, seen.append, -1)
    turn(native)
    assert seen == list(range(-1, 200))


def test_timers_in_order_of_time(loop: Loop) -> None:
    seen: list[int] = []
    start = loop.time() - 100
    for number in (5, 3, 9, 1, 7):
        loop.call_at(start + number, seen.append, number)
    turn(loop)
    assert seen == [1, 3, 5, 7, 9]


def test_never_early(native: ouroloop.Loop) -> None:
    late: list[float] = []

    def check(timer: list[asyncio.TimerHandle]) -> None:
        late.append(native.time() - timer[0].when())

    for number in range(200):
        timer: list[asyncio.TimerHandle] = []
        timer.append(native.call_later(number * 0.000_1 + 1e-7 / 3, check, timer))
    native.run_until_complete(asyncio.sleep(0.03))
    assert len(late) == 200
    assert min(late) >= 0


def test_never_early_by_the_clock(native: ouroloop.Loop) -> None:
    for delay in (0.000_3, 0.001_7, 0.004_9):
        before = time.monotonic()
        native.run_until_complete(asyncio.sleep(delay))
        assert time.monotonic() - before >= delay


def test_time_is_monotonic_time(native: ouroloop.Loop) -> None:
    assert time.monotonic() <= native.time() <= time.monotonic()


@pytest.mark.parametrize("delay", [0, 0.0, -1, -1e300, -math.inf])
def test_due_at_once(loop: Loop, delay: float) -> None:
    seen: list[str] = []
    timer = loop.call_later(delay, seen.append, "timer")
    assert isinstance(timer, asyncio.TimerHandle)
    loop.call_soon(seen.append, "soon")
    turn(loop)
    assert seen == ["soon", "timer"]


@pytest.mark.parametrize("delay", [1e6, 1e12, 1e300, math.inf])
def test_huge_delays(loop: Loop, delay: float) -> None:
    seen: list[str] = []
    timer = loop.call_later(delay, seen.append, "never")
    assert timer.when() >= loop.time()
    loop.run_until_complete(asyncio.sleep(0.001))
    assert seen == []
    timer.cancel()


def test_not_a_number_does_not_hang(native: ouroloop.Loop) -> None:
    seen: list[int] = []
    native.call_later(math.nan, seen.append, 1)
    turn(native)
    assert seen == [1]


@pytest.mark.parametrize("delay", ["1", None, object()])
def test_delays_that_are_no_numbers(loop: Loop, delay: Any) -> None:
    with pytest.raises(TypeError):
        loop.call_later(delay, int)


def test_cancelled_by_another_callback_of_the_turn(loop: Loop) -> None:
    seen: list[str] = []
    handles: list[asyncio.Handle] = []
    past = loop.time() - 1

    def cancel_all() -> None:
        for handle in handles:
            handle.cancel()

    loop.call_soon(cancel_all)
    handles.append(loop.call_soon(seen.append, "soon"))
    handles.append(loop.call_soon_threadsafe(seen.append, "threadsafe"))
    loop.call_at(past, cancel_all)
    handles.append(loop.call_at(past + 0.5, seen.append, "timer"))
    turn(loop)
    assert seen == []
    assert all(handle.cancelled() for handle in handles)


def test_cancelling_lets_go_at_once(loop: Loop) -> None:
    class Big:
        alive = 0

        def __init__(self) -> None:
            Big.alive += 1

        def __del__(self) -> None:
            Big.alive -= 1

    for schedule in (loop.call_soon, partial(loop.call_later, 1000)):
        handle = schedule(id, Big())
        assert Big.alive == 1
        handle.cancel()
        assert Big.alive == 0
        handle.cancel()
    future = loop.create_future()
    future.set_result(Big())
    del future
    assert Big.alive == 0


def test_a_handle_that_has_run_lets_go(loop: Loop) -> None:
    seen: list[bool] = []
    timer = loop.call_later(0, seen.append, True)
    turn(loop)
    timer.cancel()
    assert timer.cancelled()
    assert seen == [True]
    turn(loop)


def test_timers_compare(loop: Loop) -> None:
    now = loop.time() + 1000
    one, same, two = (loop.call_at(when, int) for when in (now, now, now + 1))
    assert one == same
    assert hash(one) == hash(same)
    assert one < two
    assert one <= same
    assert two > one
    assert two >= one
    assert one != two
    assert one != 1
    with pytest.raises(TypeError):
        assert one < 1  # type: ignore[operator]
    assert sorted([two, one]) == [one, two]
    assert one.when() == now
    one.cancel()
    assert one != same
    handle = loop.call_soon(int)
    assert handle != loop.call_soon(int)
    same.cancel()
    two.cancel()


def test_stop_before_the_run(loop: Loop) -> None:
    seen: list[int] = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(lambda: loop.call_soon(seen.append, 2))
    loop.stop()
    loop.run_forever()
    assert seen == [1]
    turn(loop)
    assert seen == [1, 2]


def test_stop_ends_the_turn_not_the_callbacks(loop: Loop) -> None:
    seen: list[int] = []
    loop.call_soon(loop.stop)
    loop.call_soon(seen.append, 1)
    loop.run_forever()
    assert seen == [1]


def test_stop_from_another_thread(loop: Loop) -> None:
    thread = threading.Timer(0.01, loop.call_soon_threadsafe, [loop.stop])
    thread.start()
    loop.run_forever()
    thread.join()


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe"])
def test_what_cannot_be_called(loop: Loop, reports: Reports, method: str) -> None:
    getattr(loop, method)(None)
    getattr(loop, method)(int, "x", 1, 2, 3)
    turn(loop)
    assert [type(error) for error in reports.exceptions] == [TypeError, TypeError]
    assert reports.keys == [["exception", "handle", "message"]] * 2


def test_handles_show_themselves(loop: Loop) -> None:
    handle = loop.call_soon(turn, loop, 1)
    timer = loop.call_at(loop.time() + 5, turn, loop)
    assert repr(handle).startswith("<Handle turn(")
    assert f"when={timer.when()}" in repr(timer)
    handle.cancel()
    timer.cancel()
    assert repr(handle) == "<Handle cancelled>"
    assert repr(timer) == f"<TimerHandle cancelled when={timer.when()}>"
