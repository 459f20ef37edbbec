"""From a loop's beginning to its end: closing, threads, descriptors, generators, executors."""

import asyncio
import concurrent.futures
import gc
import logging
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import ouroloop
import pytest

from tests.support.loops import PATIENCE, Factory
from tests.support.releases import stock_has

from .conftest import Reports, turn

Loop = asyncio.AbstractEventLoop


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closed(loop: Loop) -> None:
    future: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(int)  # type: ignore[arg-type]
    open_loop: Any = loop
    assert open_loop._closed is False
    loop.close()
    loop.close()
    assert loop.is_closed()
    assert open_loop._closed is True
    assert not loop.is_running()
    coroutine = asyncio.sleep(0)
    executor = concurrent.futures.ThreadPoolExecutor(1)
    calls: list[Callable[[], object]] = [
        loop.run_forever,
        lambda: loop.run_until_complete(future),
        lambda: loop.call_soon(int),
        lambda: loop.call_soon_threadsafe(int),
        lambda: loop.call_later(0, int),
        lambda: loop.call_at(0, int),
        lambda: loop.create_task(coroutine),
        lambda: loop.run_in_executor(executor, int),
        lambda: future.set_result(None),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            call()
    coroutine.close()
    executor.shutdown()
    assert loop.time() > 0
    assert "closed=True" in repr(loop)


def test_close_drops_what_is_scheduled(loop: Loop) -> None:
    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)
    handles = [loop.call_soon(id, big), loop.call_later(1000, id, big), loop.call_at(0, id, big)]
    del big
    loop.close()
    for handle in handles:
        assert not handle.cancelled()
        handle.cancel()
        assert handle.cancelled()
    assert gone() is None


def test_close_in_a_callback_is_refused(loop: Loop, reports: Reports) -> None:
    loop.call_soon(loop.close)
    turn(loop)
    assert [str(error) for error in reports.exceptions] == ["Cannot close a running event loop"]
    assert not loop.is_closed()


def test_close_is_refused_when_a_thread_runs_the_loop_meanwhile(native: ouroloop.Loop) -> None:
    # Such a run, of a loop without descriptors, could be ended by nobody.
    native.set_debug(True)
    runs = threading.Event()
    thread = threading.Thread(target=native.run_forever)

    class Starter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("Close ") and not thread.ident:
                native.call_soon(runs.set)
                thread.start()
                assert runs.wait(PATIENCE)

    logger = logging.getLogger("asyncio")
    level, starter = logger.level, Starter()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(starter)
    try:
        with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
            native.close()
    finally:
        logger.removeHandler(starter)
        logger.setLevel(level)
    native.call_soon_threadsafe(native.stop)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_never_closed_warns(factory: Factory) -> None:
    loop = factory()
    turn(loop)
    shown = repr(loop)
    before = descriptors()
    kept = [loop]
    del loop

    def lose() -> None:
        kept.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"^unclosed event loop ") as caught:
        lose()
    assert str(caught[0].message) == f"unclosed event loop {shown}"
    assert descriptors() < before


def test_never_closed_at_the_end(run_python: Callable[..., CompletedProcess[str]]) -> None:
    text = "import ouroloop\nloop = ouroloop.new_event_loop()\nloop.call_later(9, int)\n"
    text += "loop.call_soon(loop.stop)\nloop.run_forever()\ntask = loop.create_future()\n"
    done = run_python("-W", "always", "-c", text)
    assert done.returncode == 0
    assert "ResourceWarning: unclosed event loop <Loop " in done.stderr
    quiet = run_python("-c", text)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_no_descriptor_leaks(native: ouroloop.Loop) -> None:
    async def main() -> None:
        await asyncio.sleep(0)

    turn(native)
    gc.collect()
    before = descriptors()
    for _ in range(100):
        ouroloop.run(main())
    assert descriptors() == before


def test_many_loops_in_threads(factory: Factory) -> None:
    count = 8
    loops: list[Loop] = [factory() for _ in range(count)]
    barrier = threading.Barrier(count)
    totals = [0] * count

    async def main(number: int) -> None:
        right = loops[(number + 1) % count]
        for _ in range(20):
            right.call_soon_threadsafe(bump, (number + 1) % count)
            await asyncio.sleep(0)
        while totals[number] < 20:
            await asyncio.sleep(0.000_1)

    def bump(number: int) -> None:
        assert asyncio.get_running_loop() is loops[number]
        totals[number] += 1

    def work(number: int) -> None:
        barrier.wait(10)
        loops[number].run_until_complete(asyncio.wait_for(main(number), 10))

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))
    assert totals == [20] * count
    for loop in loops:
        loop.close()


def test_closed_while_others_call(factory: Factory) -> None:
    """Letters from other threads are taken or refused, and nothing else."""
    loop = factory()
    answers: set[str] = set()
    started = threading.Event()

    def work() -> None:
        while True:
            try:
                loop.call_soon_threadsafe(int)
            except RuntimeError as error:
                answers.add(str(error))
                return
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(10)
    turn(loop, 3)
    loop.close()
    thread.join(10)
    assert answers == {"Event loop is closed"}


async def numbers(log: list[str]) -> AsyncGenerator[int]:
    try:
        for number in range(100):
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("closed")


def test_abandoned_generators_are_closed_by_the_loop(loop: Loop) -> None:
    log: list[str] = []

    async def main() -> None:
        async for number in numbers(log):
            if number == 2:
                break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert log == ["closed"]

    before = sys.get_asyncgen_hooks()
    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == before


def test_shutdown_closes_generators(loop: Loop) -> None:
    log: list[str] = []
    alive = [numbers(log) for _ in range(3)]

    async def main() -> None:
        for generator in alive:
            assert await anext(generator) == 0

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert log == ["closed"] * 3

    async def late() -> None:
        with pytest.warns(ResourceWarning, match="was scheduled after loop.shutdown_asyncgens"):
            await anext(generator)
        await generator.aclose()

    generator = numbers(log)
    loop.run_until_complete(late())


def test_shutdown_reports_generators_that_fail(loop: Loop, reports: Reports) -> None:
    async def stubborn() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            raise KeyError("x")

    generator = stubborn()

    async def main() -> None:
        await anext(generator)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    start = "an error occurred during closing of asynchronous generator <async_generator object"
    assert [message.startswith(start) for message in reports.messages] == [True]
    assert reports.keys == [["asyncgen", "exception", "message"]]


def test_executor(loop: Loop) -> None:
    names: list[str] = []

    async def main() -> None:
        await loop.run_in_executor(None, lambda: names.append(threading.current_thread().name))
        with pytest.raises(ValueError, match="invalid literal"):
            await loop.run_in_executor(None, int, "x")
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
            await loop.run_in_executor(None, int)

    loop.run_until_complete(main())
    assert names[0].startswith("asyncio_0")
    assert not any(thread.name == names[0] for thread in threading.enumerate())


def test_default_executors_are_checked(loop: Loop) -> None:
    with pytest.raises(TypeError, match=r"^executor must be ThreadPoolExecutor instance$"):
        loop.set_default_executor(object())  # type: ignore[arg-type]
    mine = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
    loop.set_default_executor(mine)
    name = loop.run_in_executor(None, lambda: threading.current_thread().name)
    assert loop.run_until_complete(name).startswith("mine")
    loop.close()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        mine.submit(int)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the timeout came with 3.12")
def test_executor_shutdown_has_a_timeout(loop: Loop) -> None:
    if not isinstance(loop, ouroloop.Loop) and not stock_has((3, 12, 3)):
        pytest.skip("the timeout bounds the joining alone")
    release = threading.Event()
    busy: Any = loop.run_in_executor(None, release.wait, 10)
    shutdown: Any = loop.shutdown_default_executor

    async def main() -> None:
        with pytest.warns(RuntimeWarning, match="did not finishing joining its threads within"):
            await shutdown(0.01)

    loop.run_until_complete(main())
    release.set()
    assert loop.run_until_complete(busy)


def test_run_coroutine_threadsafe(loop: Loop) -> None:
    async def main() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    def work() -> str:
        return asyncio.run_coroutine_threadsafe(main(), loop).result(10)

    name = loop.run_until_complete(loop.run_in_executor(None, work))
    assert name == threading.current_thread().name
