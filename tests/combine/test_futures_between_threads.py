"""``wrap_future``, ``run_coroutine_threadsafe``, ``to_thread``."""

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.releases import stock_has

from .conftest import World, growth, turns

Concurrent = concurrent.futures.Future


async def give(value: Any) -> Any:
    return value


@contextmanager
def running(world: World) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in another thread."""
    loop = world.factory()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def in_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_wrapped_result(world: World) -> None:
    async def main() -> Any:
        source: Concurrent[int] = Concurrent()
        future = world.api.wrap_future(source)
        assert future.get_loop() is asyncio.get_running_loop()
        assert world.api.wrap_future(future) is future
        in_thread(lambda: source.set_result(1))
        assert not future.done()
        return await future

    assert world.run(main()) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (concurrent.futures.CancelledError("a"), asyncio.CancelledError),
        (concurrent.futures.InvalidStateError("a"), asyncio.InvalidStateError),
        (TimeoutError("a"), TimeoutError),
        (ValueError("a"), ValueError),
    ],
)
def test_wrapped_exception(world: World, given: Exception, expected: type) -> None:
    async def main() -> Any:
        source: Concurrent[int] = Concurrent()
        future = world.api.wrap_future(source)
        in_thread(lambda: source.set_exception(given))
        with pytest.raises(expected) as raised:
            await future
        same = raised.value is given
        return raised.type is expected, raised.value.args, same

    converted = not isinstance(given, ValueError)
    if isinstance(given, TimeoutError):
        converted = world.api is asyncio and not stock_has((3, 13, 0))
    assert world.run(main()) == (True, ("a",), not converted)


def test_cancelling_both_ways(world: World) -> None:
    async def main() -> Any:
        sources: list[Concurrent[int]] = [Concurrent(), Concurrent()]
        futures = [world.api.wrap_future(source) for source in sources]
        futures[0].cancel()
        in_thread(sources[1].cancel)
        await turns(3)
        return [source.cancelled() for source in sources], [
            future.cancelled() for future in futures
        ]

    assert world.run(main()) == ([True, True], [True, True])


def test_cancelled_before_the_result_arrives(world: World) -> None:
    async def main() -> Any:
        source: Concurrent[int] = Concurrent()
        source.set_running_or_notify_cancel()
        future = world.api.wrap_future(source)
        future.cancel()
        in_thread(lambda: source.set_result(1))
        await turns(2)
        return future.cancelled(), source.result()

    assert world.run(main()) == (True, 1)


def test_wrap_refuses(world: World) -> None:
    async def main() -> Any:
        with pytest.raises(AssertionError, match=r"^concurrent.futures.Future is expected, got 3$"):
            world.api.wrap_future(3)

    world.run(main())


def test_loop_is_closed_before_the_result(world: World) -> None:
    loop = world.factory()
    source: Concurrent[int] = Concurrent()
    future = world.api.wrap_future(source, loop=loop)
    loop.close()
    source.set_result(1)
    assert not future.done()


def test_coroutine_from_another_thread(world: World) -> None:
    with running(world) as loop:
        submitted = world.api.run_coroutine_threadsafe(give(1), loop)
        assert type(submitted) is Concurrent
        assert submitted.result(10) == 1

        async def fail() -> None:
            raise ValueError("inside")

        with pytest.raises(ValueError, match=r"^inside$"):
            world.api.run_coroutine_threadsafe(fail(), loop).result(10)


def test_cancelled_from_another_thread(world: World) -> None:
    with running(world) as loop:
        begun, ended = threading.Event(), threading.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

        submitted = world.api.run_coroutine_threadsafe(work(), loop)
        assert begun.wait(10)
        assert submitted.cancel()
        assert ended.wait(10)
        assert submitted.cancelled()


def test_cancelled_inside(world: World) -> None:
    with running(world) as loop:

        async def work() -> None:
            raise asyncio.CancelledError

        submitted = world.api.run_coroutine_threadsafe(work(), loop)
        with pytest.raises(concurrent.futures.CancelledError):
            submitted.result(10)


def test_task_that_cannot_be_made(world: World) -> None:
    loop: Any = world.factory()
    reports: list[Any] = []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))

    def refuse(loop: Any, coro: Any, **keywords: Any) -> Any:
        coro.close()
        raise KeyError("no")

    loop.set_task_factory(refuse)
    submitted = world.api.run_coroutine_threadsafe(give(1), loop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert [type(report) for report in reports] == [KeyError]
    assert submitted.exception(0) is reports[0]


def test_threadsafe_refuses(world: World) -> None:
    loop = world.factory()
    with pytest.raises(TypeError, match=r"^A coroutine object is required$"):
        world.api.run_coroutine_threadsafe(3, loop)
    loop.close()


def test_to_thread(world: World) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    def work(first: int, *, second: int, func: int) -> Any:
        variable.set(variable.get() + 1)
        return threading.get_ident(), first, second, func, variable.get()

    async def main() -> Any:
        variable.set(5)
        thread, *rest = await world.api.to_thread(work, 1, second=2, func=3)
        return thread != threading.get_ident(), rest, variable.get()

    assert world.run(main()) == (True, [1, 2, 3, 6], 5)


def test_to_thread_does_nothing_before_its_step(world: World) -> None:
    called: list[int] = []
    coroutine = world.api.to_thread(called.append, 1)
    assert coroutine.__qualname__ == "to_thread"
    coroutine.close()
    assert called == []


def test_to_thread_raises(world: World) -> None:
    async def main() -> Any:
        with pytest.raises(ZeroDivisionError):
            await world.api.to_thread(divmod, 1, 0)

    world.run(main())


def test_cycles_are_collected(native_world: World) -> None:
    async def main() -> Any:
        class Marked(Concurrent[int]):
            pass

        source: Any = Marked()
        gone = weakref.ref(source)
        source.wrapped = native_world.api.wrap_future(source)
        del source
        gc.collect()
        return gone()

    assert native_world.run(main()) is None


def test_nothing_is_left_behind(native_world: World) -> None:
    async def many() -> None:
        for _ in range(2_000):
            source: Concurrent[int] = Concurrent()
            future = native_world.api.wrap_future(source)
            source.set_result(1)
            await future

    assert growth(lambda: native_world.run(many())) < 100


def test_cancelled_before_the_loop_hears_of_it(world: World) -> None:
    if world.api is asyncio and not stock_has((3, 13, 12), (3, 14, 3)):
        pytest.skip("the task goes on")
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def make(loop: Any, coroutine: Any, **keywords: Any) -> Any:
            tasks.append(asyncio.Task(coroutine, loop=loop, **keywords))
            return tasks[-1]

        loop.set_task_factory(make)
        submitted = world.api.run_coroutine_threadsafe(work(), loop)
        await turns()
        assert submitted.cancel()
        await turns(3)
        assert [task.cancelled() for task in tasks] == [True]

    world.run(main())


def test_what_is_raised_keeps_its_traceback(world: World) -> None:
    if world.api is asyncio and not stock_has((3, 13, 0)):
        pytest.skip("asyncio makes another one")

    async def stumble() -> None:
        raise TimeoutError("inside")

    with running(world) as loop:
        submitted = world.api.run_coroutine_threadsafe(stumble(), loop)
        with pytest.raises(TimeoutError, match=r"^inside$") as raised:
            submitted.result(10)
    assert "stumble" in [entry.name for entry in raised.traceback]
