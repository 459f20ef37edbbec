"""``to_thread``."""

import asyncio
import threading
from typing import Any

import pytest

PATIENCE = 20


def test_it_passes_every_argument(loop: Any, to_thread: Any) -> None:
    def call(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    call_it = to_thread(call, 1, 2, func=3, executor=4)
    assert loop.run_until_complete(call_it) == ((1, 2), {"func": 3, "executor": 4})


def test_it_raises(loop: Any, to_thread: Any) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        loop.run_until_complete(to_thread(int, "x"))
    with pytest.raises(TypeError, match="not callable"):
        loop.run_until_complete(to_thread(7))


def test_nothing_happens_before_it_is_awaited(loop: Any, to_thread: Any) -> None:
    called: list[int] = []
    coroutine = to_thread(called.append, 1)
    loop.run_until_complete(asyncio.sleep(0))
    assert called == []
    loop.run_until_complete(coroutine)
    assert called == [1]


def test_cancelled_it_lets_the_function_go_on(loop: Any, to_thread: Any) -> None:
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(PATIENCE)
        ended.set()

    async def main() -> None:
        task = asyncio.ensure_future(to_thread(work))
        await to_thread(started.wait, PATIENCE)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        release.set()
        assert await to_thread(ended.wait, PATIENCE)

    loop.run_until_complete(main())


def test_many_at_a_time(loop: Any, to_thread: Any) -> None:
    async def main() -> Any:
        return await asyncio.gather(*(to_thread(int, number) for number in range(1000)))

    assert loop.run_until_complete(main()) == list(range(1000))


def test_a_replaced_run_in_executor_is_asked(loop: Any, to_thread: Any) -> None:
    calls: list[Any] = []

    def run_in_executor(executor: Any, call: Any, *args: Any) -> Any:
        calls.append((executor, args))
        return asyncio.sleep(0, call())

    loop.run_in_executor = run_in_executor
    assert loop.run_until_complete(to_thread(int, "7")) == 7
    assert calls == [(None, ())]


def test_the_running_task_shows_what_it_waits_for(loop: Any, to_thread: Any) -> None:
    release = threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(to_thread(release.wait, PATIENCE))
        await asyncio.sleep(0)
        waiter = task._fut_waiter  # type: ignore[attr-defined]
        assert isinstance(waiter, asyncio.Future)
        assert not waiter.done()
        release.set()
        assert await task

    loop.run_until_complete(main())
