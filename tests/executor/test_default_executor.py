"""What programs see of the default executor, and what they put in its place."""

import asyncio
import concurrent.futures
import threading
from typing import Any

import pytest

PATIENCE = 20


@pytest.fixture
def executor(loop: Any) -> Any:
    """The default executor of either loop, which has done a job."""
    loop.run_until_complete(loop.run_in_executor(None, int))
    return loop._default_executor


def test_it_is_a_thread_pool_executor(executor: Any) -> None:
    assert type(executor) is concurrent.futures.ThreadPoolExecutor


def test_submit_gives_futures_of_concurrent_futures(executor: Any) -> None:
    future = executor.submit(pow, 2, exp=5)
    assert type(future) is concurrent.futures.Future
    assert future.result(PATIENCE) == 32
    assert isinstance(executor.submit(int, "x").exception(PATIENCE), ValueError)


def test_map(executor: Any) -> None:
    assert list(executor.map(str, range(100))) == [str(number) for number in range(100)]


def test_what_is_submitted_waits_its_turn(loop: Any, executor: Any) -> None:
    release = threading.Event()
    order: list[int] = []
    limit = executor._max_workers
    begun = threading.Barrier(limit + 1)

    def hold(event: threading.Event) -> bool:
        begun.wait(PATIENCE)
        return event.wait(PATIENCE)

    blocked = [loop.run_in_executor(None, hold, release) for _ in range(limit - 1)]
    gate = threading.Event()
    last = executor.submit(hold, gate)
    begun.wait(PATIENCE)
    futures: list[Any] = []
    for number in range(0, 20, 2):
        futures.append(loop.run_in_executor(None, order.append, number))
        executor.submit(order.append, number + 1)
    assert executor._work_queue.qsize() == 20
    assert not executor._work_queue.empty()
    gate.set()
    assert last.result(PATIENCE)
    loop.run_until_complete(asyncio.wait(futures))
    release.set()
    loop.run_until_complete(asyncio.wait(blocked))
    assert order[:19] == list(range(19))


def test_submitted_futures_can_be_cancelled(executor: Any) -> None:
    release = threading.Event()
    busy = [executor.submit(release.wait, PATIENCE) for _ in range(executor._max_workers)]
    waiting = executor.submit(int)
    assert waiting.cancel()
    release.set()
    assert all(future.result(PATIENCE) for future in busy)


def test_it_is_a_context_manager(loop: Any, executor: Any) -> None:
    with executor:
        pass
    assert not any(thread.is_alive() for thread in executor._threads)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)


def test_another_one_may_be_set(loop: Any) -> None:
    mine = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
    loop.set_default_executor(mine)
    assert loop._default_executor is mine
    thread = loop.run_until_complete(loop.run_in_executor(None, threading.current_thread))
    assert thread.name == "mine_0"


def test_another_one_is_used_by_to_thread(loop: Any, to_thread: Any) -> None:
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1, "mine"))
    thread = loop.run_until_complete(to_thread(threading.current_thread))
    assert thread.name == "mine_0"


class Here(concurrent.futures.Executor):
    """Does each job at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_the_private_attribute_may_be_set(loop: Any) -> None:
    loop._default_executor = Here()
    ident = loop.run_until_complete(loop.run_in_executor(None, threading.get_ident))
    assert ident == threading.get_ident()
    loop._default_executor = None
    ident = loop.run_until_complete(loop.run_in_executor(None, threading.get_ident))
    assert ident != threading.get_ident()


def test_a_patched_submit_sees_every_job(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = concurrent.futures.ThreadPoolExecutor.submit
    seen: list[Any] = []

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        seen.append(fn)
        return original(self, fn, *args, **kwargs)

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", submit)
    assert loop.run_until_complete(loop.run_in_executor(None, int)) == 0
    assert seen == [int]


def test_a_patched_class_is_used(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(concurrent.futures.ThreadPoolExecutor):
        pass

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Mine)
    assert loop.run_until_complete(loop.run_in_executor(None, int)) == 0
    assert type(loop._default_executor) is Mine
