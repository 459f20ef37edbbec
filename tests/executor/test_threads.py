"""The threads of the default executor."""

import asyncio
import threading
from typing import Any

import pytest

PATIENCE = 20


def thread_names(loop: Any) -> set[str]:
    return {thread.name for thread in loop._default_executor._threads}


def test_there_is_none_before_the_first_job(loop: Any) -> None:
    assert loop._default_executor is None


def test_one_job_after_the_other_needs_one_thread(loop: Any) -> None:
    async def main() -> set[str]:
        names = set()
        for _ in range(50):
            names.add(await loop.run_in_executor(None, lambda: threading.current_thread().name))
            # asyncio counts a thread as idle only when it looks for the next job.
            await asyncio.sleep(0.001)
        return names

    assert loop.run_until_complete(main()) == {"asyncio_0"}


def test_they_are_as_many_as_jobs_up_to_the_limit(loop: Any) -> None:
    release = threading.Event()
    loop.run_until_complete(loop.run_in_executor(None, int))
    limit = loop._default_executor._max_workers
    jobs = [loop.run_in_executor(None, release.wait, PATIENCE) for _ in range(limit + 3)]
    assert thread_names(loop) == {f"asyncio_{number}" for number in range(limit)}
    release.set()
    loop.run_until_complete(asyncio.wait(jobs))


def test_the_limit_is_asyncios(native: Any) -> None:
    stock = asyncio.SelectorEventLoop()
    for loop in (native, stock):
        loop.run_until_complete(loop.run_in_executor(None, int))
    limits = [loop._default_executor._max_workers for loop in (native, stock)]
    stock.close()
    assert limits[0] == limits[1]


def test_as_many_jobs_as_threads_run_at_a_time(loop: Any) -> None:
    loop.run_until_complete(loop.run_in_executor(None, int))
    barrier = threading.Barrier(loop._default_executor._max_workers)

    async def main() -> None:
        for _ in range(20):
            waits = (loop.run_in_executor(None, barrier.wait, PATIENCE) for _ in range(parties))
            await asyncio.gather(*waits)

    parties = barrier.parties
    loop.run_until_complete(main())


def test_they_are_threads_of_threading(loop: Any) -> None:
    thread = loop.run_until_complete(loop.run_in_executor(None, threading.current_thread))
    assert thread in threading.enumerate()
    assert thread.name == "asyncio_0"
    assert not thread.daemon
    assert loop.run_until_complete(loop.run_in_executor(None, threading.get_ident)) == thread.ident


def test_what_a_thread_keeps_for_itself_stays(loop: Any) -> None:
    own = threading.local()

    def count() -> int:
        own.value = getattr(own, "value", 0) + 1
        return own.value

    async def main() -> list[int]:
        counts = []
        for _ in range(5):
            counts.append(await loop.run_in_executor(None, count))
            await asyncio.sleep(0.001)
        return counts

    assert loop.run_until_complete(main()) == [1, 2, 3, 4, 5]


def test_hooks_for_new_threads_see_the_jobs(loop: Any) -> None:
    seen: list[str] = []

    def job() -> None:
        pass

    threading.setprofile(lambda frame, *_: seen.append(frame.f_code.co_name))
    try:
        loop.run_until_complete(loop.run_in_executor(None, job))
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
    assert "job" in seen


def test_a_thread_that_cannot_start_is_told(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            loop.run_in_executor(None, int)
    assert loop.run_until_complete(loop.run_in_executor(None, int)) == 0


def test_calls_of_functions_that_are_not_pythons_let_others_run(native: Any) -> None:
    async def main() -> None:
        deadline = native.time() + PATIENCE
        met = 0
        # A turn while jobs are left, three times: how many jobs that takes is the machine's affair.
        while met < 3:
            assert native.time() < deadline, "the jobs keep the loop from turning"
            jobs = [native.run_in_executor(None, sum, range(20_000)) for _ in range(300)]
            waiting = asyncio.gather(*jobs)
            while not waiting.done():
                await asyncio.sleep(0.0001)
                met += not waiting.done()

    native.run_until_complete(main())
