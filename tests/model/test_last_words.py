"""What futures and tasks say when they are dropped too early."""

import asyncio
import gc
from typing import Any

import ouroloop
import pytest

from .conftest import Reports, turn

NEVER_RETRIEVED = "exception was never retrieved"
DESTROYED = "Task was destroyed but it is pending!"


class SubFuture(ouroloop.Future[Any]):
    """A subclass in Python."""


class SubTask(ouroloop.Task[Any]):
    """A subclass in Python."""


class NoisyTask(ouroloop.Task[Any]):
    """A subclass with a finalizer of its own."""

    finalized = 0

    def __del__(self) -> None:
        type(self).finalized += 1
        super().__del__()


async def fail() -> None:
    raise KeyError("nobody looks")


@pytest.fixture(params=[False, True], ids=["new", "recycled"])
def recycled(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the objects under test have lived before."""
    if request.param:
        for _ in range(100):
            loop.create_future().set_result(1)
            loop.create_task(asyncio.sleep(0))
        turn(loop, 3)
    return bool(request.param)


@pytest.mark.usefixtures("recycled")
def test_future_exception_never_retrieved(
    loop: asyncio.AbstractEventLoop, reports: Reports
) -> None:
    for _ in range(3):
        loop.create_future().set_exception(KeyError("x"))
    assert reports.messages == [f"Future {NEVER_RETRIEVED}"] * 3
    assert reports.keys == [["exception", "future", "message"]] * 3
    assert [type(error) for error in reports.exceptions] == [KeyError] * 3


@pytest.mark.usefixtures("recycled")
def test_task_exception_never_retrieved(loop: asyncio.AbstractEventLoop, reports: Reports) -> None:
    for _ in range(3):
        loop.create_task(fail())
    turn(loop, 2)
    gc.collect()
    assert reports.messages == [f"Task {NEVER_RETRIEVED}"] * 3


def test_subclasses_name_themselves(loop: asyncio.AbstractEventLoop, reports: Reports) -> None:
    SubFuture(loop=loop).set_exception(KeyError("x"))
    SubTask(fail(), loop=loop)
    turn(loop, 2)
    gc.collect()
    assert reports.messages == [f"SubFuture {NEVER_RETRIEVED}", f"SubTask {NEVER_RETRIEVED}"]


@pytest.mark.parametrize("look", ["exception", "result", "cancel", "flag", "await"])
def test_a_look_is_enough(loop: asyncio.AbstractEventLoop, reports: Reports, look: str) -> None:
    async def catch(future: "asyncio.Future[Any]") -> None:
        with pytest.raises(KeyError):
            await future

    future: Any = loop.create_future()
    future.set_exception(KeyError("x"))
    match look:
        case "exception":
            future.exception()
        case "result":
            with pytest.raises(KeyError):
                future.result()
        case "cancel":
            assert not future.cancel()
        case "flag":
            future._log_traceback = False
        case _:
            loop.run_until_complete(catch(future))
    del future
    gc.collect()
    assert reports.messages == []


def drop_pending(loop: asyncio.AbstractEventLoop, make: Any) -> None:
    """Let a task wait for a future that goes away with it."""

    async def wait() -> None:
        await loop.create_future()

    make(wait())
    turn(loop)
    gc.collect()


@pytest.mark.usefixtures("recycled")
def test_destroyed_but_pending(loop: asyncio.AbstractEventLoop, reports: Reports) -> None:
    drop_pending(loop, loop.create_task)
    assert reports.messages == [DESTROYED]
    assert reports.keys == [["message", "task"]]


@pytest.mark.parametrize("cls", [SubTask, NoisyTask])
def test_destroyed_but_pending_subclass(
    loop: asyncio.AbstractEventLoop, reports: Reports, cls: type[ouroloop.Task[Any]]
) -> None:
    NoisyTask.finalized = 0
    drop_pending(loop, lambda coro: cls(coro, loop=loop))
    assert reports.messages == [DESTROYED]
    assert NoisyTask.finalized == (cls is NoisyTask)


def test_log_destroy_pending_silences(loop: asyncio.AbstractEventLoop, reports: Reports) -> None:
    def make(coro: Any) -> None:
        task: Any = loop.create_task(coro)
        assert task._log_destroy_pending is True
        task._log_destroy_pending = False

    drop_pending(loop, make)
    assert reports.messages == []
    # The flag belongs to one life.
    assert loop.create_task(asyncio.sleep(0))._log_destroy_pending is True  # type: ignore[attr-defined]
    turn(loop, 3)


def test_a_task_that_outlives_its_loop(factory: Any) -> None:
    reports = Reports()
    loop: asyncio.AbstractEventLoop = factory()
    loop.set_exception_handler(reports)

    async def wait() -> None:
        await loop.create_future()

    task = loop.create_task(wait())
    turn(loop)
    loop.close()
    assert not task.done()
    assert task.get_loop() is loop
    assert "wait_for" in repr(task)
    assert len(task.get_stack()) == 1
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        task.cancel()
    del task
    gc.collect()
    assert reports.messages == [DESTROYED]


def test_debug_mode_tells_where_it_was_made(
    loop: asyncio.AbstractEventLoop, reports: Reports
) -> None:
    loop.set_debug(True)
    loop.create_future().set_exception(KeyError("x"))
    drop_pending(loop, loop.create_task)
    assert reports.keys == [
        ["exception", "future", "message", "source_traceback"],
        ["message", "source_traceback", "task"],
    ]


def test_a_report_that_fails_harms_nobody(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(*_: object) -> None:
        raise ZeroDivisionError

    loop.set_exception_handler(handler)
    loop.create_future().set_exception(KeyError("x"))
    assert "Unhandled error in exception handler" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_finalizer_spares_the_exception_on_its_way(
    loop: asyncio.AbstractEventLoop, reports: Reports
) -> None:
    def failed() -> "asyncio.Future[None]":
        future = loop.create_future()
        future.set_exception(KeyError("lost"))
        return future

    # The argument goes while the error of `index` is on its way.
    with pytest.raises(ValueError, match="not in list"):
        list[object]().index(failed())
    assert reports.messages == [f"Future {NEVER_RETRIEVED}"]


ELSEWHERE = """
import os, sys, threading, warnings
import ouroloop

warnings.simplefilter("ignore")
loop = ouroloop.new_event_loop()
inside, leave = threading.Event(), threading.Event()

class Stays:
    def __del__(self):
        inside.set()
        leave.wait()

class Counted:
    gone = 0
    def __del__(self):
        Counted.gone += 1

def drop_one():
    future = loop.create_future()
    future.set_result(Stays())

def drop_many():
    own = ouroloop.new_event_loop()
    chain = None
    for _ in range(1000):
        future = own.create_future()
        future.set_result((chain, Counted()))
        chain = future
    del future, chain
    return Counted.gone

thread = threading.Thread(target=drop_one)
thread.start()
inside.wait()
if sys.argv[1] == "fork":
    child = os.fork()
    if child == 0:
        os._exit(drop_many() != 1000)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
else:
    assert drop_many() == 1000
leave.set()
thread.join()
"""


@pytest.mark.parametrize("where", ["thread", "fork"])
def test_nobody_waits_for_a_finalizer_of_another_thread(run_python, where):
    done = run_python("-c", ELSEWHERE, where)
    assert done.returncode == 0, done.stderr
