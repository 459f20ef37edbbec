"""The end of the default executor: with the loop, before it, with the interpreter, in a fork."""

import asyncio
import gc
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import ouroloop
import pytest

from tests.support.releases import stock_has

from .conftest import Blocked

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    RunPython = Callable[..., subprocess.CompletedProcess[str]]

PATIENCE = 20


def test_what_waits_is_done_before_the_shutdown_ends(loop: Any) -> None:
    done: list[int] = []
    release = threading.Event()

    async def main() -> None:
        limit = 40
        jobs = [loop.run_in_executor(None, release.wait, PATIENCE) for _ in range(limit)]
        late = [loop.run_in_executor(None, done.append, number) for number in range(100)]
        loop.call_soon(release.set)
        await loop.shutdown_default_executor()
        assert sorted(done) == list(range(100))
        await asyncio.gather(*jobs, *late)

    loop.run_until_complete(main())
    assert not any(thread.name.startswith("asyncio_") for thread in threading.enumerate())


def test_after_the_shutdown_nothing_is_taken(loop: Any) -> None:
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop.run_until_complete(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
        loop.run_in_executor(None, int)


def test_after_a_shutdown_by_hand_nothing_is_taken(loop: Any, to_thread: Any) -> None:
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop._default_executor.shutdown()
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
        loop.run_in_executor(None, int)
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
        loop.run_until_complete(to_thread(int))


def test_the_loops_close_does_not_wait(loop: Any) -> None:
    started, release = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(PATIENCE)

    job = loop.run_in_executor(None, work)
    assert started.wait(PATIENCE)
    executor = loop._default_executor
    threads = list(executor._threads)
    loop.close()
    assert loop._default_executor is None
    assert [thread.is_alive() for thread in threads] == [True]
    release.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not job.done()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_in_executor(None, int)


def test_jobs_that_wait_at_the_loops_close_are_done(loop: Any) -> None:
    done: list[int] = []
    release = threading.Event()
    for _ in range(40):
        loop.run_in_executor(None, release.wait, PATIENCE)
    for number in range(10):
        loop.run_in_executor(None, done.append, number)
    threads = list(loop._default_executor._threads)
    loop.close()
    release.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(done) == list(range(10))


def test_futures_may_be_cancelled_with_the_shutdown(loop: Any) -> None:
    with Blocked(loop) as blocked:
        late = [loop.run_in_executor(None, int) for _ in range(10)]
        own = loop._default_executor.submit(int)
        loop._default_executor.shutdown(wait=False, cancel_futures=True)
    assert own.cancelled()
    assert not any(job.cancelled() for job in blocked.jobs)
    loop.run_until_complete(asyncio.wait(late))
    assert all(job.cancelled() for job in late)


def test_threads_end_with_a_loop_that_nobody_closed(loop: Any) -> None:
    loop.run_until_complete(loop.run_in_executor(None, int))
    threads = list(loop._default_executor._threads)
    executor = weakref.ref(loop._default_executor)
    # A loop is not dropped by its fixture: its executor is.
    loop._default_executor = None
    gc.collect()
    assert executor() is None
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)


JOBS_AT_EXIT = """
import asyncio, atexit, sys, threading
import ouroloop

done = []
go = threading.Event()
loop = ouroloop.new_event_loop() if sys.argv[1] == "ouroloop" else asyncio.SelectorEventLoop()

async def main():
    for _ in range(40):
        loop.run_in_executor(None, go.wait, 20)
    for number in range(50):
        loop.run_in_executor(None, done.append, number)

loop.run_until_complete(main())
# These are called once every thread has ended.
atexit.register(lambda: print(sorted(done) == list(range(50))))
threading.Timer(0.05, go.set).start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["asyncio", "ouroloop"])
def test_the_interpreter_waits_for_jobs_at_its_exit(run_python: "RunPython", kind: str) -> None:
    ended = run_python("-W", "ignore", "-c", JOBS_AT_EXIT, kind)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "True\n"


NO_JOBS_AFTER_EXIT = """
import asyncio, sys, threading
import concurrent.futures.thread
import ouroloop

make = ouroloop.new_event_loop if sys.argv[1] == "ouroloop" else asyncio.SelectorEventLoop
loops = [make(), make()]
# Callbacks of this kind are called in the opposite order: this one after the executors' own.
callbacks = threading._threading_atexits
def late():
    for loop in loops:
        try:
            loop.run_in_executor(None, int)
        except RuntimeError as error:
            print(str(error).replace("interpreter ", ""))
callbacks.insert(0, late)
loops[0].run_until_complete(loops[0].run_in_executor(None, int))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["asyncio", "ouroloop"])
def test_there_are_no_jobs_after_the_interpreters_exit(run_python: "RunPython", kind: str) -> None:
    ended = run_python("-W", "ignore", "-c", NO_JOBS_AFTER_EXIT, kind)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "cannot schedule new futures after shutdown\n" * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_child_has_threads_of_its_own(native: Any, *, busy: bool) -> None:
    release = threading.Event()
    native.run_until_complete(native.run_in_executor(None, int))
    jobs = [native.run_in_executor(None, release.wait, PATIENCE) for _ in range(40 * busy)]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.environ.clear()
            loop: Any = ouroloop.new_event_loop()
            assert loop.run_until_complete(loop.run_in_executor(None, lambda: 7)) == 7
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            # What the parent has queued is the parent's.
            before = native._default_executor
            assert before._work_queue.qsize() == 0
            native.run_in_executor(None, int)
            assert native._default_executor is not before
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    release.set()
    assert native.run_until_complete(native.run_in_executor(None, lambda: 8)) == 8
    if jobs:
        native.run_until_complete(asyncio.wait(jobs))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the timeout came with 3.12")
def test_a_shutdown_with_a_timeout_gives_up(loop: Any) -> None:
    if not isinstance(loop, ouroloop.Loop) and not stock_has((3, 12, 3)):
        pytest.skip("the timeout bounds the joining alone")
    release = threading.Event()
    job = loop.run_in_executor(None, release.wait, PATIENCE)

    async def main() -> None:
        with pytest.warns(
            RuntimeWarning, match="did not finishing joining its threads within 0.01"
        ):
            await loop.shutdown_default_executor(0.01)

    loop.run_until_complete(main())
    release.set()
    assert loop.run_until_complete(job)


INTERRUPTED = """
import asyncio, sys, threading
import ouroloop

original = threading.Thread.start

def start(thread):
    original(thread)
    # As a signal handler may, at the end of it.
    raise KeyboardInterrupt

async def main():
    threading.Thread.start = start
    try:
        sys.kept = asyncio.get_running_loop().run_in_executor(None, int)
    except KeyboardInterrupt:
        pass
    threading.Thread.start = original
    await asyncio.get_running_loop().run_in_executor(None, int)

loop = sys.loop = ouroloop.new_event_loop()
loop.run_until_complete(main())
print("done", flush=True)
"""


def test_a_thread_whose_start_was_interrupted_ends(run_python: "RunPython") -> None:
    """On asyncio the interpreter waits for ever for it."""
    done = run_python("-c", INTERRUPTED)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
