"""What would break the interpreter, not the program: depth, re-entrance, objects that are not owned."""

import asyncio
import gc
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import ouroloop
import pytest
from ouroloop import _native

DEEP = 100_000


class SubFuture(_native.Future):
    pass


def by_result(loop: Any, before: Any) -> Any:
    future = loop.create_future()
    future.set_result(before)
    return future


def by_attribute(loop: Any, before: Any) -> Any:
    future = loop.create_future()
    future.before = before
    return future


def by_iterator(loop: Any, before: Any) -> Any:
    future = loop.create_future()
    future.set_result(before.__await__() if before else None)
    return future


def by_exception(loop: Any, before: Any) -> Any:
    future = loop.create_future()
    future.set_exception(ValueError(before))
    future.exception()
    return future


def by_subclass(loop: Any, before: Any) -> Any:
    future = SubFuture(loop=loop)
    future.set_result(before)
    return future


def by_handle(loop: Any, before: Any) -> Any:
    return _native.Handle(print, (before,), loop)


def by_timer(loop: Any, before: Any) -> Any:
    return _native.TimerHandle(1.0, print, (before,), loop)


LINKS = [by_result, by_attribute, by_iterator, by_exception, by_subclass, by_handle, by_timer]


@pytest.mark.parametrize("link", LINKS)
def test_a_long_chain_is_dropped_without_recursion(link: Callable[[Any, Any], Any]) -> None:
    loop = ouroloop.new_event_loop()
    last = None
    for _ in range(DEEP):
        last = link(loop, last)
    del last
    loop.close()


async def wait_for(awaited: asyncio.Future[None]) -> None:
    await awaited


def test_a_long_chain_of_tasks_is_dropped_without_recursion() -> None:
    async def main() -> None:
        last: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        last.set_result(None)
        for _ in range(DEEP):
            last = asyncio.create_task(wait_for(last))
        await last

    ouroloop.run(main(), debug=False)


def test_a_long_chain_of_tasks_is_cancelled_without_recursion() -> None:
    async def main() -> None:
        first = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(wait_for(first))]
        for _ in range(DEEP):
            tasks.append(asyncio.create_task(wait_for(tasks[-1])))
        await asyncio.sleep(0)
        assert tasks[-1].cancel()
        assert first.cancelled()
        assert tasks[0].cancelling() == 1
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    ouroloop.run(main(), debug=False)


def test_tasks_that_await_each_other_are_not_cancelled_for_ever() -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async def wait_for_the_other(place: int) -> None:
            await tasks[place]

        tasks += [asyncio.create_task(wait_for_the_other(1 - place)) for place in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RecursionError):
            tasks[0].cancel()
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    loop = ouroloop.new_event_loop()
    loop.run_until_complete(main())
    loop.close()


def test_a_cancel_message_that_looks_at_its_future_as_it_goes() -> None:
    seen = []

    class Message:
        def __init__(self, future: Any) -> None:
            self.future = future

        def __del__(self) -> None:
            seen.append(self.future.cancelled())

    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(1))
        task.cancel(Message(task))
        await asyncio.wait([task])
        future = asyncio.get_running_loop().create_future()
        future._cancel_message = Message(future)
        future.cancel()

    ouroloop.run(main(), debug=False)
    gc.collect()
    assert seen == [True, True]


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="Python 3.15 refuses a second __init__")
def test_init_inside_init_leaves_one_entry_among_the_live_tasks() -> None:
    loop = ouroloop.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)

    async def nothing() -> None:
        pass

    inner, outer = nothing(), nothing()
    task = _native.Task.__new__(_native.Task)

    class Name:
        started = False

        def __str__(self) -> str:
            if not self.started:
                self.started = True
                task.__init__(inner, loop=loop)
            return "name"

    task.__init__(outer, loop=loop, name=Name())  # type: ignore[arg-type]
    assert sum(live is task for live in _native.live_tasks()) == 1
    loop.run_until_complete(task)
    assert all(live is not task for live in _native.live_tasks())
    inner.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


PROGRAMS = {
    "an open loop": """
        import ouroloop
        loop = ouroloop.new_event_loop()
        future = loop.create_future()
        """,
    "a pending task": """
        import asyncio, ouroloop
        loop = ouroloop.new_event_loop()
        task = loop.create_task(asyncio.sleep(1))
        task._log_destroy_pending = False
        loop.run_until_complete(asyncio.sleep(0))
        """,
    "loops in daemon threads": """
        import asyncio, threading, ouroloop
        running = threading.Semaphore(0)
        async def tick():
            running.release()
            while True:
                await asyncio.sleep(0.001)
        async def wait():
            running.release()
            await asyncio.Event().wait()
        for main in (tick, wait):
            threading.Thread(target=ouroloop.run, args=(main(),), daemon=True).start()
        for _ in range(2):
            running.acquire()
        """,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_interpreter_ends_in_peace_beside(program: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "name",
    ["Future", "Task", "Lock", "Event", "Condition", "Semaphore", "Queue", "TaskGroup", "gather"],
)
def test_a_collection_in_the_middle_of_making_an_object(name: str) -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        event_loop = asyncio.get_running_loop()
        make: Callable[[], object]
        match name:
            case "Future":
                make = event_loop.create_future
            case "Task":
                make = lambda: event_loop.create_task(nothing())  # noqa: E731
            case "gather":
                make = lambda: _native.gather(event_loop.create_future())  # noqa: E731
            case _:
                make = getattr(_native, name)
        before = gc.get_threshold()
        gc.set_threshold(1)
        try:
            # More than are ever kept for reuse.
            made = [make() for _ in range(2500)]
        finally:
            gc.set_threshold(*before)
        await asyncio.sleep(0)
        assert len(made) == 2500

    loop = ouroloop.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
