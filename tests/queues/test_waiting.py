"""Who waits before a queue, who is woken, and what a cancellation leaves behind."""

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from .conftest import NAMES, World, turn

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Loop = asyncio.AbstractEventLoop

newer_than_312 = pytest.mark.skipif(sys.version_info < (3, 13), reason="new in Python 3.13")


@pytest.fixture(params=NAMES)
def make(request: pytest.FixtureRequest, world: World) -> Any:
    """Each of the three classes."""
    return getattr(world, request.param)


def test_coroutines(make: Any, loop: Loop) -> None:
    queue = make()
    for name, coroutine in (
        ("put", queue.put(1)),
        ("get", queue.get()),
        ("join", queue.join()),
    ):
        assert asyncio.iscoroutine(coroutine)
        assert inspect.isawaitable(coroutine)
        assert coroutine.__qualname__ == f"Queue.{name}"
        coroutine.close()
    assert queue.empty()


def test_nothing_happens_before_the_first_step(make: Any, run: Run) -> None:
    queue = make()
    put = queue.put(1)
    assert queue.empty()
    run(put)
    get = queue.get()
    assert queue.qsize() == 1
    assert run(get) == 1


def test_no_turn_passes_when_there_is_room(make: Any) -> None:
    queue = make(1)
    for coroutine, answer in ((queue.put("item"), None), (queue.get(), "item")):
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        assert stop.value.value == answer


def test_getters_are_served_in_turn(make: Any, loop: Loop) -> None:
    queue = make()
    got: list[Any] = []

    async def get(name: str) -> None:
        got.append((name, await queue.get()))

    tasks = [loop.create_task(get(name)) for name in "abc"]
    turn(loop)
    assert str(queue) == f"<{make.__name__} maxsize=0 _getters[3]>"
    queue.put_nowait(1)
    assert str(queue) == f"<{make.__name__} maxsize=0 _queue=[1] _getters[2] tasks=1>"
    assert got == []
    turn(loop)
    assert got == [("a", 1)]
    queue.put_nowait(2)
    turn(loop)
    queue.put_nowait(3)
    turn(loop)
    assert got == [("a", 1), ("b", 2), ("c", 3)]
    turn(loop)
    assert all(task.done() for task in tasks)


def test_putters_are_served_in_turn(make: Any, loop: Loop) -> None:
    queue = make(1)
    tasks = [loop.create_task(queue.put(item)) for item in range(3)]
    turn(loop)
    assert str(queue) == f"<{make.__name__} maxsize=1 _queue=[0] _putters[2] tasks=1>"
    got = []
    for _ in range(3):
        got.append(queue.get_nowait())
        turn(loop)
    assert got == [0, 1, 2]
    turn(loop)
    assert all(task.done() for task in tasks)


def test_an_item_can_be_snatched(make: Any, loop: Loop) -> None:
    queue = make()
    getter = loop.create_task(queue.get())
    turn(loop)
    queue.put_nowait("first")
    assert queue.get_nowait() == "first"
    turn(loop, 2)
    assert not getter.done()
    queue.put_nowait("second")
    assert loop.run_until_complete(getter) == "second"


def test_a_cancelled_getter_leaves_its_place(make: Any, loop: Loop) -> None:
    queue = make()
    first, second = (loop.create_task(queue.get()) for _ in range(2))
    turn(loop)
    first.cancel()
    turn(loop)
    assert first.cancelled()
    assert len(queue._getters) == 1
    queue.put_nowait("item")
    assert loop.run_until_complete(second) == "item"


def test_a_cancelled_getter_passes_the_wake_up_on(make: Any, loop: Loop) -> None:
    queue = make()
    first, second = (loop.create_task(queue.get()) for _ in range(2))
    turn(loop)
    queue.put_nowait("item")
    first.cancel()
    turn(loop)
    assert first.cancelled()
    assert loop.run_until_complete(second) == "item"


def test_a_cancelled_putter_leaves_its_place(make: Any, loop: Loop) -> None:
    queue = make(1)
    queue.put_nowait(0)
    first, second = (loop.create_task(queue.put(item)) for item in (1, 2))
    turn(loop)
    first.cancel()
    turn(loop)
    assert len(queue._putters) == 1
    assert queue.get_nowait() == 0
    loop.run_until_complete(second)
    assert queue.get_nowait() == 2


def test_a_cancelled_putter_passes_the_wake_up_on(make: Any, loop: Loop) -> None:
    queue = make(1)
    queue.put_nowait(0)
    first, second = (loop.create_task(queue.put(item)) for item in (1, 2))
    turn(loop)
    assert queue.get_nowait() == 0
    first.cancel()
    turn(loop)
    assert first.cancelled()
    loop.run_until_complete(second)
    assert queue.get_nowait() == 2


def test_an_exception_thrown_in_reaches_the_caller(make: Any, loop: Loop) -> None:
    queue = make()

    async def step() -> None:
        coroutine = queue.get()
        coroutine.send(None)
        with pytest.raises(KeyError, match="thrown"):
            coroutine.throw(KeyError("thrown"))
        assert len(queue._getters) == 0

    loop.run_until_complete(step())


def test_closing_a_waiting_coroutine_frees_its_place(make: Any, loop: Loop) -> None:
    queue = make()

    async def step() -> None:
        for end in (lambda coroutine: coroutine.close(), lambda coroutine: None):
            coroutine = queue.get()
            waiter = coroutine.send(None)
            assert queue._getters[0] is waiter
            end(coroutine)
            del coroutine
            assert waiter.cancelled()
            assert len(queue._getters) == 0

    loop.run_until_complete(step())


def test_joining(make: Any, loop: Loop) -> None:
    queue = make()
    loop.run_until_complete(queue.join())
    queue.put_nowait(1)
    queue.put_nowait(2)
    joiners = [loop.create_task(queue.join()) for _ in range(2)]
    turn(loop)
    queue.task_done()
    turn(loop, 3)
    assert not any(joiner.done() for joiner in joiners)
    queue.task_done()
    turn(loop, 3)
    assert [joiner.result() for joiner in joiners] == [None, None]
    queue.put_nowait(3)
    late = loop.create_task(queue.join())
    turn(loop, 2)
    assert not late.done()
    queue.task_done()
    loop.run_until_complete(late)


def test_a_cancelled_join(make: Any, loop: Loop) -> None:
    queue = make()
    queue.put_nowait(1)
    joiner, other = (loop.create_task(queue.join()) for _ in range(2))
    turn(loop)
    joiner.cancel()
    turn(loop)
    assert joiner.cancelled()
    queue.task_done()
    loop.run_until_complete(other)


def test_work_is_done_when_the_program_says_so(make: Any, loop: Loop) -> None:
    # A recipe that programs use to forget what a queue holds.
    queue = make()
    queue.put_nowait(1)
    joiner = loop.create_task(queue.join())
    turn(loop)
    queue._queue.clear()
    queue._finished.set()
    queue._unfinished_tasks = 0
    loop.run_until_complete(joiner)
    assert str(queue) == f"<{make.__name__} maxsize=0>"
    queue.put_nowait(2)
    assert not queue._finished.is_set()
    assert queue.get_nowait() == 2


def test_only_one_loop(make: Any, world: World, loop: Loop) -> None:
    queue = make()
    getter = loop.create_task(queue.get())
    turn(loop)
    assert queue._loop is loop
    other = world.new_loop()
    try:
        message = rf"^<{make.__name__} at 0x[0-9a-f]+ maxsize=0 _getters\[1\]> is bound to a"
        with pytest.raises(RuntimeError, match=message + " different event loop$"):
            other.run_until_complete(queue.get())
        # What need not wait needs no loop.
        other.run_until_complete(queue.put(1))
    finally:
        other.close()
    assert loop.run_until_complete(getter) == 1


def test_no_loop(make: Any) -> None:
    queue = make()
    assert queue._get_loop() is None
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'create_future'"):
        queue.get().send(None)


def test_many_through_a_narrow_queue(make: Any, run: Run) -> None:
    async def main() -> list[int]:
        queue = make(3)
        got: list[int] = []

        async def produce(start: int) -> None:
            for item in range(start, start + 100):
                await queue.put(item)

        async def consume() -> None:
            while True:
                got.append(await queue.get())
                queue.task_done()

        consumers = [asyncio.ensure_future(consume()) for _ in range(3)]
        await asyncio.gather(*(produce(start) for start in range(0, 500, 100)))
        await queue.join()
        for consumer in consumers:
            consumer.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
        return got

    assert sorted(run(main())) == list(range(500))


@newer_than_312
class TestShutdown:
    def test_puts_are_refused_and_gets_go_on(self, make: Any, run: Run) -> None:
        queue = make()
        queue.put_nowait("item")
        queue.shutdown()
        queue.shutdown()
        with pytest.raises(asyncio.QueueShutDown) as refused:
            queue.put_nowait(1)
        assert refused.value.args == ()
        with pytest.raises(asyncio.QueueShutDown):
            run(queue.put(1))
        assert run(queue.get()) == "item"
        with pytest.raises(asyncio.QueueShutDown):
            queue.get_nowait()
        with pytest.raises(asyncio.QueueShutDown):
            run(queue.get())
        queue.task_done()

    def test_everybody_is_woken(self, make: Any, loop: Loop) -> None:
        empty, full = make(), make(1)
        full.put_nowait(0)
        tasks = [loop.create_task(empty.get()) for _ in range(3)]
        tasks += [loop.create_task(full.put(item)) for item in range(3)]
        turn(loop)
        empty.shutdown()
        full.shutdown()
        assert len(empty._getters) == len(full._putters) == 0
        turn(loop, 2)
        assert [type(task.exception()).__name__ for task in tasks] == ["QueueShutDown"] * 6
        assert full.get_nowait() == 0

    @pytest.mark.parametrize("taken", [0, 1])
    def test_at_once(self, make: Any, loop: Loop, taken: int) -> None:
        queue = make()
        for item in range(3):
            queue.put_nowait(item)
        joiner = loop.create_task(queue.join())
        turn(loop)
        for _ in range(taken):
            queue.get_nowait()
        queue.shutdown(immediate=True)
        assert queue.empty()
        assert queue._unfinished_tasks == taken
        turn(loop, 3)
        assert joiner.done() is (taken == 0)
        for _ in range(taken):
            queue.task_done()
        loop.run_until_complete(joiner)
        with pytest.raises(asyncio.QueueShutDown):
            queue.get_nowait()


def test_closed_after_its_loop(make: Any, loop: Loop) -> None:
    queue = make()
    task: Any = loop.create_task(queue.get())
    turn(loop)
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$") as refused:
        task.get_coro().close()
    assert isinstance(refused.value.__context__, GeneratorExit)
    task._log_destroy_pending = False
