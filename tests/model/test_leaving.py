"""Errors that leave the loop, and a loop that goes on after them."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.loops import FACTORIES, Factory

from .conftest import Reports, turn

Loop = asyncio.AbstractEventLoop
LEAVING = [KeyboardInterrupt, SystemExit]


def raiser(error: type[BaseException]) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error("out")

    return fail


@pytest.mark.parametrize("error", LEAVING)
@pytest.mark.parametrize("source", ["soon", "later", "threadsafe", "done", "task", "wakeup"])
def test_the_loop_goes_on(
    loop: Loop, reports: Reports, source: str, error: type[BaseException]
) -> None:
    fail = raiser(error)
    after: list[int] = []

    async def step(future: "asyncio.Future[None] | None") -> None:
        if future:
            await future
        fail()

    future: asyncio.Future[None] = loop.create_future()
    task: Any = None
    match source:
        case "soon":
            loop.call_soon(fail)
        case "later":
            loop.call_later(0, fail)
        case "threadsafe":
            loop.call_soon_threadsafe(fail)
        case "done":
            future.add_done_callback(fail)
            future.set_result(None)
        case _:
            task = loop.create_task(step(future if source == "wakeup" else None))
            loop.call_soon(future.set_result, None)
    loop.call_soon(lambda: loop.call_soon(after.append, 1))
    loop.call_soon(after.append, 0)
    with pytest.raises(error, match="out"):
        loop.run_until_complete(asyncio.sleep(10))
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    # What was ready runs with the next run, in order; the exception is not reported besides.
    turn(loop, 3)
    assert after == [0, 1]
    assert loop.run_until_complete(asyncio.sleep(0, "on")) == "on"
    assert reports.messages == []
    if task is not None:
        assert isinstance(task.exception(), error)
    for left in asyncio.all_tasks(loop):
        left.cancel()
    turn(loop, 2)


@pytest.mark.parametrize("error", LEAVING)
def test_the_main_coroutine_is_retrieved(
    loop: Loop, reports: Reports, error: type[BaseException]
) -> None:
    async def main() -> None:
        await asyncio.sleep(0)
        raise error("main")

    with pytest.raises(error, match="main"):
        loop.run_until_complete(main())
    gc.collect()
    assert reports.messages == []
    assert loop.run_until_complete(asyncio.sleep(0, "on")) == "on"


@pytest.mark.parametrize("error", LEAVING)
def test_out_of_the_exception_handler(loop: Loop, error: type[BaseException]) -> None:
    loop.set_exception_handler(raiser(error))
    loop.call_soon(raiser(KeyError))
    with pytest.raises(error):
        loop.run_forever()
    turn(loop)


def test_another_base_exception_stays(loop: Loop, reports: Reports) -> None:
    class Mine(BaseException):
        pass

    async def main() -> None:
        raise Mine("task")

    loop.call_soon(raiser(Mine))
    task = loop.create_task(main())
    turn(loop, 2)
    assert [type(error) for error in reports.exceptions] == [Mine]
    assert isinstance(task.exception(), Mine)


def test_generator_exit(loop: Loop) -> None:
    async def main() -> None:
        raise GeneratorExit("x")

    with pytest.raises(GeneratorExit):
        loop.run_until_complete(main())


def test_stop_iteration(loop: Loop) -> None:
    async def main() -> None:
        raise StopIteration("x")

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
        loop.run_until_complete(main())


@pytest.mark.parametrize("given", [StopIteration, StopIteration("x")], ids=["class", "instance"])
def test_stop_iteration_into_a_future(loop: Loop, given: Any) -> None:
    future = loop.create_future()
    text = "StopIteration interacts badly with generators and cannot be raised into a Future"
    # Versions differ between refusing it and wrapping it.
    with contextlib.suppress(TypeError):
        future.set_exception(given)
        error = future.exception()
        assert isinstance(error, RuntimeError)
        assert str(error) == text
        assert isinstance(error.__cause__, StopIteration)


def test_recursion_error(loop: Loop, reports: Reports) -> None:
    def deep() -> None:
        deep()

    async def main() -> None:
        deep()

    loop.call_soon(deep)
    with pytest.raises(RecursionError):
        loop.run_until_complete(main())
    assert [type(error) for error in reports.exceptions] == [RecursionError]


def test_recursion_through_the_model(loop: Loop) -> None:
    """A deep chain of awaits over natively linked futures."""

    async def link(depth: int) -> int:
        return 0 if depth == 0 else await loop.create_task(link(depth - 1)) + 1

    assert loop.run_until_complete(link(5000)) == 5000

    async def nested(depth: int) -> int:
        return 0 if depth == 0 else await nested(depth - 1) + 1

    assert loop.run_until_complete(nested(200)) == 200
    with pytest.raises(RecursionError):
        loop.run_until_complete(nested(sys.getrecursionlimit() * 20))


def test_cancelling_a_deep_chain(loop: Loop) -> None:
    async def link(depth: int) -> None:
        await (loop.create_task(link(depth - 1)) if depth else loop.create_future())

    task = loop.create_task(link(100))
    turn(loop, 102)
    task.cancel("deep")
    with pytest.raises(asyncio.CancelledError) as caught:
        loop.run_until_complete(task)
    assert caught.value.args == ("deep",)


def test_nested_runs(loop: Loop, factory: Factory) -> None:
    if sys.version_info[:3] == (3, 13, 0) and factory is FACTORIES["asyncio"]:
        pytest.skip("a refused run clears the running loop in 3.13.0")
    other = factory()
    done = loop.create_future()
    done.set_result(None)

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_forever()
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_until_complete(done)
        message = r"^Cannot run the event loop while another loop is running$"
        with pytest.raises(RuntimeError, match=message):
            other.run_forever()
        with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
            loop.close()
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop

    loop.run_until_complete(main())
    other.close()


def test_stopped_before_complete(loop: Loop) -> None:
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(future)
    future.set_result("later")
    assert loop.run_until_complete(future) == "later"


def test_run_until_complete_of_what_is_not_awaitable(loop: Loop) -> None:
    with pytest.raises(TypeError, match="is required"):
        loop.run_until_complete(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"[Ff]uture, a coroutine or an awaitable is required"):
        loop.run_until_complete(None)  # type: ignore[arg-type]


def test_run_until_complete_of_another_loops_future(loop: Loop, factory: Factory) -> None:
    other = factory()
    with pytest.raises(ValueError, match="belongs to a different loop"):
        loop.run_until_complete(other.create_future())
    other.close()
