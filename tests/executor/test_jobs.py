"""One job after the other: what it sees, how its future ends, how it is cancelled."""

import asyncio
import concurrent.futures
import contextvars
import gc
import sys
import threading
import traceback
import weakref
from typing import Any

import ouroloop
import pytest

from .conftest import Blocked

PATIENCE = 20


def test_it_is_called_with_its_arguments(loop: Any) -> None:
    answer = loop.run_in_executor(None, lambda *args: args, 1, "two")
    assert isinstance(answer, asyncio.Future)
    assert answer.get_loop() is loop
    assert loop.run_until_complete(answer) == (1, "two")


@pytest.mark.slow
def test_ten_thousand_jobs(loop: Any) -> None:
    async def main() -> list[int]:
        jobs = [loop.run_in_executor(None, lambda n=n: n) for n in range(10_000)]
        return await asyncio.gather(*jobs)

    assert loop.run_until_complete(main()) == list(range(10_000))


def test_one_after_the_other(loop: Any) -> None:
    async def main() -> int:
        total = 0
        for number in range(500):
            total += await loop.run_in_executor(None, int, number)
        return total

    assert loop.run_until_complete(main()) == sum(range(500))


def test_jobs_begin_in_order(loop: Any) -> None:
    started: list[int] = []
    executor = concurrent.futures.ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    one = [loop.run_in_executor(None, started.append, n) for n in range(100)]
    loop.run_until_complete(asyncio.wait(one))
    assert started == list(range(100))


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error_type", [ValueError, Odd, asyncio.CancelledError])
def test_what_it_raises_is_raised(loop: Any, error_type: type[BaseException]) -> None:
    error = error_type("mine")

    def fail() -> None:
        raise error

    async def main() -> None:
        with pytest.raises(error_type) as caught:
            await loop.run_in_executor(None, fail)
        assert caught.value is error
        assert "fail" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    loop.run_until_complete(main())


@pytest.mark.parametrize("error_type", [SystemExit, KeyboardInterrupt])
def test_what_ends_programs_ends_the_waiting_task(
    loop: Any, error_type: type[BaseException]
) -> None:
    def leave() -> None:
        raise error_type

    async def main() -> None:
        await loop.run_in_executor(None, leave)

    with pytest.raises(error_type):
        loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (concurrent.futures.CancelledError("a"), asyncio.CancelledError),
        (concurrent.futures.InvalidStateError("b"), asyncio.InvalidStateError),
        (TimeoutError("c"), TimeoutError),
    ],
)
def test_exceptions_of_concurrent_futures_become_asyncios(
    loop: Any, raised: BaseException, seen: type[BaseException]
) -> None:
    def fail() -> None:
        raise raised

    async def main() -> None:
        with pytest.raises(seen) as caught:
            await loop.run_in_executor(None, fail)
        assert type(caught.value) is seen
        assert caught.value.args == raised.args

    loop.run_until_complete(main())


def test_stop_iteration_cannot_be_raised_into_a_future(loop: Any) -> None:
    errors: list[Any] = []
    loop.set_exception_handler(lambda loop, context: (errors.append(context), loop.stop()))
    answer = loop.run_in_executor(None, next, iter(()))
    if sys.version_info >= (3, 13):
        with pytest.raises(RuntimeError, match="StopIteration interacts badly"):
            loop.run_until_complete(answer)
    else:
        # The error is the callback's, and the future goes on waiting.
        loop.run_forever()
        assert isinstance(errors[0]["exception"], TypeError)
        assert "StopIteration interacts badly" in str(errors[0]["exception"])
        assert not answer.done()


def test_an_exception_that_nobody_looks_at_is_reported(loop: Any) -> None:
    errors: list[Any] = []
    loop.set_exception_handler(lambda _, context: errors.append(context["message"]))

    async def main() -> None:
        await asyncio.wait([loop.run_in_executor(None, int, "x")])

    loop.run_until_complete(main())
    gc.collect()
    assert errors == ["Future exception was never retrieved"]


def test_context_variables_do_not_follow(loop: Any, to_thread: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")

    async def main() -> None:
        variable.set("mine")
        assert await loop.run_in_executor(None, variable.get) == "default"
        assert await to_thread(variable.get) == "mine"
        await to_thread(variable.set, "other")
        assert variable.get() == "mine"

    loop.run_until_complete(main())


def test_cancelled_before_it_begins_it_is_not_called(loop: Any) -> None:
    called: list[int] = []
    with Blocked(loop):
        job = loop.run_in_executor(None, called.append, 1)
        assert job.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(job)
    loop.run_until_complete(loop.run_in_executor(None, called.append, 2))
    assert called == [2]


def test_cancelled_while_it_runs_it_goes_on(loop: Any) -> None:
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(PATIENCE)
        ended.set()

    async def main() -> None:
        task = asyncio.ensure_future(loop.run_in_executor(None, work))
        await loop.run_in_executor(None, started.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended.is_set()
        release.set()
        assert await loop.run_in_executor(None, ended.wait, PATIENCE)

    loop.run_until_complete(main())


def test_ended_by_somebody_else_it_is_reported(loop: Any) -> None:
    errors: list[Any] = []

    def handler(loop: Any, context: Any) -> None:
        errors.append(context["exception"])
        loop.stop()

    loop.set_exception_handler(handler)
    release = threading.Event()
    job = loop.run_in_executor(None, release.wait, PATIENCE)
    job.set_result("mine")
    release.set()
    loop.run_forever()
    assert job.result() == "mine"
    assert [type(error) for error in errors] == [AssertionError]


def test_what_it_held_goes_when_it_is_done(loop: Any) -> None:
    class Thing:
        def method(self) -> None:
            pass

    thing = Thing()
    reference = weakref.ref(thing)
    loop.run_until_complete(loop.run_in_executor(None, thing.method))
    # The worker has dropped the job by the time it does another one.
    del thing
    with Blocked(loop):
        assert reference() is None


def test_it_runs_while_the_loops_thread_waits_for_it(loop: Any) -> None:
    async def main() -> None:
        await loop.run_in_executor(None, int)
        # A worker has just been busy: the loop itself might call it later, and must not.
        done = threading.Event()
        job = loop.run_in_executor(None, done.set)
        assert done.wait(PATIENCE)
        await job

    loop.run_until_complete(main())


def test_it_runs_while_the_loop_goes_on_without_waiting(loop: Any) -> None:
    async def main() -> None:
        for _ in range(20):
            job = loop.run_in_executor(None, int)
            while not job.done():
                await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_another_thread_may_submit(loop: Any) -> None:
    async def main() -> Any:
        def submit() -> Any:
            return loop.run_in_executor(None, threading.get_ident)

        job = await loop.run_in_executor(None, submit)
        return await job

    assert loop.run_until_complete(main()) != threading.get_ident()


def test_a_job_submitted_last_before_the_stop(loop: Any) -> None:
    done = threading.Event()

    async def main() -> None:
        await loop.run_in_executor(None, int)
        loop.run_in_executor(None, done.set)

    loop.run_until_complete(main())
    assert done.wait(PATIENCE)


def test_debug_mode_refuses_coroutines(loop: Any) -> None:
    async def coroutine() -> None:
        pass

    loop.set_debug(True)
    with pytest.raises(TypeError, match=r"coroutines cannot be used with run_in_executor\(\)"):
        loop.run_in_executor(None, coroutine)
    with pytest.raises(TypeError, match=r"a callable object was expected by run_in_executor\(\)"):
        loop.run_in_executor(None, 7)
    assert loop.run_until_complete(loop.run_in_executor(None, int)) == 0


def test_what_cannot_be_called_fails_there(loop: Any) -> None:
    with pytest.raises(TypeError, match="'int' object is not callable"):
        loop.run_until_complete(loop.run_in_executor(None, 7))


def test_cycles_through_jobs_are_collected_with_their_loop() -> None:
    class Thing:
        """Has a loop, a job of that loop, and a method that is the job."""

        def method(self) -> Any:
            return self

    def make() -> weakref.ref[Thing]:
        loop: Any = ouroloop.new_event_loop()
        thing: Any = Thing()
        thing.loop, thing.job = loop, loop.run_in_executor(None, thing.method)
        loop.run_until_complete(thing.job)
        loop.close()
        return weakref.ref(thing)

    reference = make()
    gc.collect()
    assert reference() is None
