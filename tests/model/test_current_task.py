"""What ``current_task`` and ``all_tasks`` see, also through names taken before ouroloop."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import ouroloop
import pytest

from .conftest import turn

Loop = asyncio.AbstractEventLoop


@pytest.mark.parametrize("kind", ["soon", "later", "threadsafe", "done", "reader", "signal"])
def test_no_task_runs_in_a_callback(loop: Loop, kind: str) -> None:
    seen: list[object] = []
    finished: asyncio.Future[None] = loop.create_future()

    def callback(*_: object) -> None:
        seen.append(asyncio.current_task())
        seen.append(asyncio.current_task(loop))
        if not finished.done():
            finished.set_result(None)

    read, write = os.pipe()

    async def main() -> None:
        await asyncio.sleep(0)
        me = asyncio.current_task()
        match kind:
            case "soon":
                loop.call_soon(callback)
            case "later":
                loop.call_later(0, callback)
            case "threadsafe":
                thread = threading.Thread(target=loop.call_soon_threadsafe, args=(callback,))
                thread.start()
                thread.join()
            case "done":
                future = loop.create_future()
                future.add_done_callback(callback)
                future.set_result(None)
            case "reader":
                loop.add_reader(read, callback)
                os.write(write, b"x")
            case _:
                loop.add_signal_handler(signal.SIGUSR1, callback)
                os.kill(os.getpid(), signal.SIGUSR1)
        assert asyncio.current_task() is me
        await finished
        assert asyncio.current_task() is me
        loop.remove_reader(read)
        loop.remove_signal_handler(signal.SIGUSR1)

    loop.run_until_complete(asyncio.wait_for(main(), 10))
    assert set(seen) == {None}
    os.close(read)
    os.close(write)


def test_no_task_runs_outside(loop: Loop) -> None:
    async def main() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        loop.run_until_complete(main())
    assert asyncio.current_task(loop) is None
    with pytest.raises(RuntimeError):
        asyncio.current_task()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_no_task_runs_after_leaving(loop: Loop, error: type[BaseException]) -> None:
    async def main() -> None:
        raise error

    with pytest.raises(error):
        loop.run_until_complete(main())
    assert asyncio.current_task(loop) is None
    assert not asyncio.all_tasks(loop)


def test_tasks_by_turns(loop: Loop) -> None:
    seen: list[bool] = []

    async def main() -> None:
        me = asyncio.current_task()
        for _ in range(10):
            await asyncio.sleep(0)
            seen.append(asyncio.current_task() is me)
        loop.call_soon(lambda: seen.append(asyncio.current_task() is None))

    loop.run_until_complete(asyncio.wait([loop.create_task(main()) for _ in range(5)]))
    turn(loop)
    assert seen == [True] * 50 + [True] * 5


def test_a_python_signal_handler_sees_the_step_that_it_interrupts(loop: Loop) -> None:
    seen: list[object] = []
    before = signal.signal(signal.SIGUSR2, lambda *_: seen.append(asyncio.current_task()))

    async def main() -> None:
        seen.append(asyncio.current_task())
        os.kill(os.getpid(), signal.SIGUSR2)
        for _ in range(100):
            pass
        assert len(seen) == 2

    try:
        loop.run_until_complete(main())
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert seen[0] is seen[1] is not None


def test_loops_in_threads_have_tasks_of_their_own(factory: Callable[[], Loop]) -> None:
    barrier = threading.Barrier(4)
    problems: list[object] = []

    async def main() -> None:
        me = asyncio.current_task()
        for _ in range(50):
            barrier.wait(10)
            await asyncio.sleep(0)
            if asyncio.current_task() is not me or asyncio.all_tasks() != {me}:
                problems.append(asyncio.all_tasks())

    def work() -> None:
        loop = factory()
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert problems == []


def test_a_stock_loop_inside_a_thread_of_a_native_step(native: ouroloop.Loop) -> None:
    """Steps of other loops do not disturb this one's."""

    async def inside() -> object:
        await asyncio.sleep(0)
        return asyncio.current_task()

    def work() -> object:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(inside())

    async def main() -> None:
        me = asyncio.current_task()
        assert await asyncio.to_thread(work) is not me
        assert asyncio.current_task() is me

    native.run_until_complete(main())


EARLIER = """
import asyncio
from asyncio import all_tasks, current_task, get_running_loop, isfuture
from asyncio.tasks import all_tasks as second
import ouroloop

async def child():
    await asyncio.sleep(10)

async def main():
    task = asyncio.create_task(child())
    assert type(task) is ouroloop.Task, type(task)
    await asyncio.sleep(0)
    me = current_task()
    assert type(me) is ouroloop.Task, type(me)
    assert all_tasks() == second() == {me, task}, all_tasks()
    assert isfuture(task)
    assert get_running_loop() is me.get_loop()
    task.cancel()
    await asyncio.wait([task])
    assert all_tasks() == {me}

ouroloop.run(main())
print("seen")
"""


def test_names_taken_earlier(run_python: Callable[..., CompletedProcess[str]]) -> None:
    done = run_python("-X", "dev", "-W", "error", "-c", EARLIER)
    assert (done.stdout, done.stderr) == ("seen\n", "")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs came with 3.14")
def test_call_graph(loop: Loop) -> None:
    module: Any = asyncio

    async def inner(future: "asyncio.Future[None]") -> None:
        await future

    async def main() -> str:
        future = loop.create_future()
        task = loop.create_task(inner(future), name="inner")
        await asyncio.sleep(0)
        outer = loop.create_task(inner(task), name="outer")
        await asyncio.sleep(0)
        text = str(module.format_call_graph(task))
        future.set_result(None)
        await outer
        return text

    text = loop.run_until_complete(main())
    assert "Task(name='inner'" in text
    assert "Task(name='outer'" in text.partition("Awaited by:")[2]


UNSET = """
import asyncio, sys
import ouroloop

loop, said = (asyncio if sys.argv[1] == "asyncio" else ouroloop).new_event_loop(), []
loop.set_exception_handler(lambda _, context: said.append(type(context.get("exception")).__name__))

async def unset():
    asyncio._set_running_loop(None)

async def say():
    said.append("task")

tasks = [loop.create_task(unset())]
loop.call_soon(said.append, "callback")
words = say()
tasks.append(loop.create_task(words))
loop.call_soon(said.append, "callback")
loop.call_soon(loop.stop)
loop.run_forever()
words.close()
print(*said, *(task.done() for task in tasks))
"""


@pytest.mark.parametrize("name", ["asyncio", "ouroloop"])
def test_a_task_that_unsets_the_running_loop_keeps_no_callback_from_running(
    run_python: Callable[..., CompletedProcess[str]], name: str
) -> None:
    # In another process: asyncio's task is left as the running one of its thread, and no other can begin.
    answer = run_python("-c", UNSET, name)
    # Since 3.14 neither can the first task be left nor the second one be entered.
    expected = (
        "RuntimeError callback RuntimeError callback True False"
        if sys.version_info >= (3, 14)
        else "callback task callback True True"
    )
    assert (answer.returncode, answer.stdout.strip()) == (0, expected), answer.stderr
