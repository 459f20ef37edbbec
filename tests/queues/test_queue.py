"""What a queue does without waiting, and what it says of itself."""

import asyncio
import inspect
import math
import re
import sys
import weakref
from typing import Any

import pytest

from .conftest import NAMES, STOCK, World

newer_than_312 = pytest.mark.skipif(sys.version_info < (3, 13), reason="new in Python 3.13")


@pytest.fixture(params=NAMES)
def make(request: pytest.FixtureRequest, world: World) -> Any:
    """Each of the three classes."""
    return getattr(world, request.param)


def test_order(world: World) -> None:
    taken = {}
    for name in NAMES:
        queue = getattr(world, name)()
        for item in (3, 1, 2):
            queue.put_nowait(item)
        taken[name] = [queue.get_nowait() for _ in range(3)]
    assert taken == {"Queue": [3, 1, 2], "PriorityQueue": [1, 2, 3], "LifoQueue": [2, 1, 3]}


def test_sizes(make: Any) -> None:
    queue = make(2)
    assert (queue.maxsize, queue.qsize(), queue.empty(), queue.full()) == (2, 0, True, False)
    queue.put_nowait(1)
    assert (queue.qsize(), queue.empty(), queue.full()) == (1, False, False)
    queue.put_nowait(2)
    assert (queue.qsize(), queue.empty(), queue.full()) == (2, False, True)
    with pytest.raises(asyncio.QueueFull) as full:
        queue.put_nowait(3)
    assert full.value.args == ()
    queue.get_nowait()
    queue.get_nowait()
    with pytest.raises(asyncio.QueueEmpty) as empty:
        queue.get_nowait()
    assert empty.value.args == ()


@pytest.mark.parametrize("maxsize", [0, -1, -(10**30), math.inf, 10**30, False, math.nan])
def test_unbounded(make: Any, maxsize: Any) -> None:
    queue = make(maxsize)
    for item in range(50):
        queue.put_nowait(item)
    assert not queue.full()
    assert queue.maxsize is maxsize


@pytest.mark.parametrize("maxsize", [1.5, 2, True + True, 1 + 1e-9])
def test_numbers_as_sizes(make: Any, maxsize: Any) -> None:
    queue = make(maxsize=maxsize)
    queue.put_nowait(1)
    assert not queue.full()
    queue.put_nowait(2)
    assert queue.full()


def test_a_size_that_is_no_number(make: Any) -> None:
    queue = make("many")
    assert queue.maxsize == "many"
    with pytest.raises(TypeError, match="'<=' not supported between instances of 'str' and 'int'"):
        queue.full()
    with pytest.raises(TypeError):
        queue.put_nowait(1)
    assert queue.empty()


def test_wrong_arguments(make: Any) -> None:
    for wrong in (lambda: make(1, 2), lambda: make(loop=None), lambda: make().put()):
        with pytest.raises(TypeError):
            wrong()


def test_task_done(make: Any) -> None:
    queue = make()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        queue.task_done()
    queue.put_nowait(1)
    queue.put_nowait(2)
    queue.get_nowait()
    assert queue._unfinished_tasks == 2
    assert not queue._finished.is_set()
    queue.task_done()
    queue.task_done()
    assert queue._finished.is_set()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        queue.task_done()


def test_texts(make: Any) -> None:
    queue = make(3)
    name = make.__name__
    assert str(queue) == f"<{name} maxsize=3>"
    queue.put_nowait("b")
    assert str(queue) == f"<{name} maxsize=3 _queue=['b'] tasks=1>"
    assert repr(queue) == f"<{name} at {id(queue):#x} maxsize=3 _queue=['b'] tasks=1>"
    queue.get_nowait()
    assert str(queue) == f"<{name} maxsize=3 tasks=1>"
    queue._unfinished_tasks = 0
    assert queue._format() == "maxsize=3"
    assert str(make(math.inf)) == f"<{name} maxsize=inf>"


def test_the_text_of_a_queue_in_itself(make: Any) -> None:
    queue = make()
    queue.put_nowait(queue)
    with pytest.raises(RecursionError):
        repr(queue)
    queue.get_nowait()


@newer_than_312
def test_the_text_after_a_shutdown(make: Any) -> None:
    queue = make()
    assert queue._is_shutdown is False
    queue.shutdown()
    assert queue._is_shutdown is True
    assert str(queue) == f"<{make.__name__} maxsize=0 shutdown>"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="what Python 3.13 brought")
def test_no_shutdown_before_its_time(make: Any) -> None:
    assert not hasattr(make, "shutdown")
    assert not hasattr(make(), "_is_shutdown")


def test_is_the_standard_class(make: Any) -> None:
    queue = make()
    assert isinstance(queue, getattr(STOCK, make.__name__))
    assert isinstance(queue, STOCK.Queue)
    assert isinstance(queue, make)
    assert isinstance(queue, STOCK.LifoQueue) is (make.__name__ == "LifoQueue")


def test_generic(make: Any) -> None:
    alias = make[int]
    assert alias.__origin__ is make
    assert alias.__args__ == (int,)
    assert isinstance(alias(2), make)
    assert re.fullmatch(r".*Queue\[int\]", repr(alias))


def test_attributes_and_weak_references(make: Any) -> None:
    queue = make()
    reference = weakref.ref(queue)
    queue.label = "mine"
    queue.put_nowait(1)
    assert queue.label == "mine"
    assert queue.__dict__["label"] == "mine"
    assert queue.get_nowait() == 1
    del queue.label
    with pytest.raises(AttributeError):
        _ = queue.label
    assert reference() is queue
    del queue
    assert reference() is None


def test_documented(make: Any) -> None:
    documented = [make, make.put, make.get, make.put_nowait, make.get_nowait, make.join]
    documented += [make.task_done, make.qsize, make.empty, make.full, make.maxsize]
    if sys.version_info >= (3, 13):
        documented.append(make.shutdown)
    assert all(inspect.getdoc(thing) for thing in documented)


def test_a_second_start(make: Any) -> None:
    queue = make(1)
    queue.put_nowait(1)
    queue.__init__(3)
    assert str(queue) == f"<{make.__name__} maxsize=3>"
    queue.put_nowait(2)
    assert queue.get_nowait() == 2


class Fussy:
    """An item that says when it is compared, and may refuse."""

    refuses = False

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def __lt__(self, other: "Fussy") -> bool:
        if Fussy.refuses:
            message = "not now"
            raise ValueError(message)
        return self.rank < other.rank


def test_a_comparison_that_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = world.PriorityQueue()
    for rank in (2, 1, 3):
        queue.put_nowait(Fussy(rank))
    monkeypatch.setattr(Fussy, "refuses", True)
    with pytest.raises(ValueError, match="not now"):
        queue.put_nowait(Fussy(0))
    # As with heapq, the item is there, at the end; but nobody counted it.
    assert (queue.qsize(), queue._unfinished_tasks) == (4, 3)
    with pytest.raises(ValueError, match="not now"):
        queue.get_nowait()
    assert queue.qsize() == 3
    monkeypatch.setattr(Fussy, "refuses", False)
    assert len([queue.get_nowait() for _ in range(3)]) == 3


def test_a_comparison_that_comes_back(world: World) -> None:
    queue = world.PriorityQueue()

    class Meddler:
        def __lt__(self, other: Any) -> bool:
            queue.get_nowait()
            return True

    queue.put_nowait(Meddler())
    with pytest.raises(RuntimeError, match="list changed size during iteration"):
        queue.put_nowait(Meddler())
    assert queue.qsize() == 1


def test_only_less_than_is_asked(world: World) -> None:
    class Ranked:
        def __init__(self, rank: int) -> None:
            self.rank = rank

        def __lt__(self, other: Any) -> bool:
            return self.rank < other.rank

        __gt__ = __le__ = __ge__ = None  # type: ignore[assignment]

    queue = world.PriorityQueue()
    for rank in (5, 3, 9, 1):
        queue.put_nowait(Ranked(rank))
    assert [queue.get_nowait().rank for _ in range(4)] == [1, 3, 5, 9]
