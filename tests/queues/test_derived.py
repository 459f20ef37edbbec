"""Classes derived from queues, containers that Python code reaches into, methods replaced."""

import asyncio
import collections
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from .conftest import NAMES, World, turn

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Loop = asyncio.AbstractEventLoop


@pytest.fixture(params=NAMES)
def make(request: pytest.FixtureRequest, world: World) -> Any:
    """Each of the three classes."""
    return getattr(world, request.param)


def test_a_class_with_its_own_start(make: Any, run: Run) -> None:
    class Named(make):  # type: ignore[misc]
        def __init__(self, name: str, *, size: int) -> None:
            self.name = name
            super().__init__(size)

    queue = Named("mine", size=1)
    assert type(queue) is Named
    assert queue.__class__ is Named
    assert str(queue) == "<Named maxsize=1>"
    run(queue.put("item"))
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait("another")
    assert run(queue.get()) == "item"
    assert queue.name == "mine"


def test_a_container_of_its_own(world: World, loop: Loop) -> None:
    class Unique(world.Queue):  # type: ignore[misc, name-defined]
        def _init(self, maxsize: int) -> None:
            self.asked = maxsize
            self._queue = collections.OrderedDict()

        def _put(self, item: Any) -> None:
            self._queue[item] = None

        def _get(self) -> Any:
            return self._queue.popitem(last=False)[0]

    queue = Unique(2)
    assert queue.asked == 2
    for item in "aab":
        queue.put_nowait(item)
    assert str(queue) == "<Unique maxsize=2 _queue=['a', 'b'] tasks=3>"
    assert queue.full()
    putter = loop.create_task(queue.put("c"))
    turn(loop)
    assert len(queue._putters) == 1
    assert queue.get_nowait() == "a"
    loop.run_until_complete(putter)
    assert [queue.get_nowait() for _ in range(2)] == ["b", "c"]
    getter = loop.create_task(queue.get())
    turn(loop)
    getter.cancel()
    turn(loop)
    assert queue.empty()
    queue.put_nowait("d")
    assert loop.run_until_complete(queue.get()) == "d"


def test_hooks_of_the_class_above(make: Any) -> None:
    calls: list[str] = []

    class Watched(make):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            calls.append("init")
            super()._init(maxsize)

        def _put(self, item: Any) -> None:
            calls.append("put")
            super()._put(item)

        def _get(self) -> Any:
            calls.append("get")
            return super()._get()

    queue = Watched()
    for item in (2, 1):
        queue.put_nowait(item)
    assert {queue.get_nowait(), queue.get_nowait()} == {1, 2}
    assert calls == ["init", "put", "put", "get", "get"]


def test_a_hook_that_fails(world: World, run: Run) -> None:
    class Picky(world.Queue):  # type: ignore[misc, name-defined]
        def _put(self, item: Any) -> None:
            if item is None:
                message = "nothing is no item"
                raise ValueError(message)
            super()._put(item)

    queue = Picky()
    with pytest.raises(ValueError, match="nothing is no item"):
        run(queue.put(None))
    assert queue._unfinished_tasks == 0
    run(queue.put(1))
    assert run(queue.get()) == 1


def test_methods_are_called_in_asyncios_order(make: Any, loop: Loop) -> None:
    calls: list[str] = []

    def watch(name: str) -> Any:
        def method(self: Any, *arguments: Any) -> Any:
            calls.append(name)
            return getattr(super(Watched, self), name)(*arguments)

        return method

    names = ["full", "empty", "qsize", "put_nowait", "get_nowait"]
    names += ["_wakeup_next", "_get_loop", "_put", "_get", "_init", "_format"]
    Watched: Any = type("Watched", (make,), {name: watch(name) for name in names})

    def called() -> list[str]:
        answer = calls[:]
        calls.clear()
        return answer

    queue = Watched(1)
    assert called() == ["_init"]
    putters = [loop.create_task(queue.put(item)) for item in range(2)]
    turn(loop)
    putting = ["full", "qsize", "put_nowait", "full", "qsize", "_put", "_wakeup_next"]
    assert called() == [*putting, "full", "qsize", "_get_loop"]
    assert queue.get_nowait() == 0
    assert called() == ["get_nowait", "empty", "_get", "_wakeup_next"]
    turn(loop)
    assert called() == putting
    assert loop.run_until_complete(queue.get()) == 1
    assert called() == ["empty", "get_nowait", "empty", "_get", "_wakeup_next"]
    getter = loop.create_task(queue.get())
    turn(loop)
    assert called() == ["empty", "_get_loop"]
    getter.cancel()
    turn(loop)
    assert called() == ["empty"]
    repr(queue)
    assert called() == ["_format"]
    assert all(putter.done() for putter in putters)


def test_the_answer_of_an_overridden_method(make: Any, run: Run) -> None:
    class Telling(make):  # type: ignore[misc]
        def put_nowait(self, item: Any) -> str:
            super().put_nowait(item)
            return "put"

        def get_nowait(self) -> Any:
            return "got", super().get_nowait()

    queue = Telling()
    assert run(queue.put(1)) == "put"
    assert run(queue.get()) == ("got", 1)


def test_a_queue_that_is_never_full(make: Any, run: Run) -> None:
    class Endless(make):  # type: ignore[misc]
        def full(self) -> bool:
            return False

    queue = Endless(1)
    for item in range(5):
        run(queue.put(item))
    assert queue.qsize() == 5


def test_items_kept_elsewhere(make: Any, loop: Loop) -> None:
    class Elsewhere(make):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self.items: list[Any] = []

        def _put(self, item: Any) -> None:
            self.items.append(item)

        def _get(self) -> Any:
            return self.items.pop(0)

        def qsize(self) -> int:
            return len(self.items)

        def empty(self) -> bool:
            return not self.items

    queue = Elsewhere(2)
    assert not hasattr(queue, "_queue")
    assert str(queue) == "<Elsewhere maxsize=2>"
    tasks = [loop.create_task(queue.put(item)) for item in range(4)]
    turn(loop, 2)
    assert str(queue) == "<Elsewhere maxsize=2 _putters[2] tasks=2>"
    assert [loop.run_until_complete(queue.get()) for _ in range(4)] == [0, 1, 2, 3]
    assert all(task.done() for task in tasks)


def test_a_class_that_changes(make: Any) -> None:
    class Changing(make):  # type: ignore[misc]
        pass

    queue = Changing()
    queue.put_nowait(1)
    assert queue.get_nowait() == 1
    Changing._put = lambda self, item: super(Changing, self)._put(item * 10)
    queue.put_nowait(2)
    Changing.empty = lambda self: True
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    del Changing.empty
    assert queue.get_nowait() == 20
    del Changing._put
    queue.put_nowait(3)
    assert queue.get_nowait() == 3


def test_an_object_that_changes(make: Any, run: Run) -> None:
    queue = make()
    queue.other = "attribute"
    queue.put_nowait(1)
    queue.full = lambda: True
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(2)
    del queue.full
    put: list[Any] = []
    queue._put = put.append
    run(queue.put(3))
    assert put == [3]
    assert queue.qsize() == 1
    del queue._put
    assert run(queue.get()) == 1


def test_reaching_into_the_items(world: World, run: Run) -> None:
    queue = world.Queue(3)
    for item in (1, 2):
        queue.put_nowait(item)
    assert isinstance(queue._queue, collections.deque)
    assert list(queue._queue) == [1, 2]
    queue._queue.appendleft(0)
    assert queue._queue is queue._queue
    assert queue.full()
    assert [run(queue.get()) for _ in range(3)] == [0, 1, 2]
    queue._queue.append(4)
    assert str(queue) == "<Queue maxsize=3 _queue=[4] tasks=2>"
    queue._queue.clear()
    assert queue.empty()
    queue._queue = collections.deque([7])
    assert run(queue.get()) == 7


@pytest.mark.parametrize("name", ["PriorityQueue", "LifoQueue"])
def test_reaching_into_a_list(world: World, name: str) -> None:
    queue = getattr(world, name)()
    assert queue._queue == []
    queue._queue += [1, 2]
    queue._queue.append(3)
    assert queue.qsize() == 3
    assert queue.get_nowait() == (1 if name == "PriorityQueue" else 3)
    queue._queue = [5]
    assert queue.get_nowait() == 5


def test_reaching_into_the_lines(make: Any, loop: Loop) -> None:
    queue = make(1)
    getters = [loop.create_task(queue.get()) for _ in range(2)]
    turn(loop)
    assert isinstance(queue._getters, collections.deque)
    assert isinstance(queue._putters, collections.deque)
    assert not any(getter.done() for getter in queue._getters)
    queue._getters.rotate()
    queue.put_nowait("item")
    assert len(queue._getters) == 1
    turn(loop, 2)
    assert [getter.done() for getter in getters] == [False, True]
    getters[0].cancel()
    turn(loop)
    assert len(queue._getters) == 0
    queue.put_nowait(1)
    putter = loop.create_task(queue.put(2))
    turn(loop)
    assert len(queue._putters) == 1
    queue._wakeup_next(queue._putters)
    queue._wakeup_next(queue._putters)
    turn(loop)
    assert len(queue._putters) == 1
    assert queue.get_nowait() == 1
    loop.run_until_complete(putter)


def test_a_size_that_changes(make: Any) -> None:
    queue = make(1)
    queue.put_nowait(1)
    assert queue.full()
    queue._maxsize = 2
    assert queue.maxsize == 2
    queue.put_nowait(2)
    assert queue.full()


def test_a_queue_shown_while_somebody_waits(make: Any, loop: Loop) -> None:
    queue = make(1)
    queue.put_nowait(1)
    putters = [loop.create_task(queue.put(item)) for item in (2, 3)]
    turn(loop)
    assert list(queue._queue) == [1]
    queue.label = "open now"
    assert queue.get_nowait() == 1
    turn(loop)
    putters[1].cancel()
    turn(loop)
    assert (putters[0].done(), putters[1].cancelled()) == (True, True)
    assert queue.get_nowait() == 2
    assert queue.empty()


def test_an_item_may_show_itself_by_any_text(make: Any) -> None:
    class Shown:
        def __repr__(self) -> str:
            return "\ud800"

    queue = make()
    queue.put_nowait(Shown())
    assert "_queue=[\ud800]" in repr(queue)
