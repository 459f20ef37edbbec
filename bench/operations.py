"""The operations of the object model, as an ordinary program would write them.

Each function carries out ``count`` operations on the running loop; ``count`` is a multiple of
:data:`BATCH`. Everything goes through the names of the standard module.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

BATCH = 1000
CHILDREN = 100
FAR = 3600.0

Operation = Callable[[int], Coroutine[Any, Any, None]]


def _nothing() -> None:
    pass


async def _child() -> None:
    pass


async def call_soon_chain(count: int) -> None:
    """A callback that schedules the next one."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def link() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(link)
        else:
            done.set_result(None)

    loop.call_soon(link)
    await done


async def call_soon_burst(count: int) -> None:
    """Many callbacks scheduled in one turn."""
    loop = asyncio.get_running_loop()
    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_soon(_nothing)
        await asyncio.sleep(0)


async def timer_cancel(count: int) -> None:
    """A timer scheduled far ahead and cancelled, as time-outs are."""
    loop = asyncio.get_running_loop()
    for _ in range(count // BATCH):
        for _ in range(BATCH):
            loop.call_later(FAR, _nothing).cancel()
        await asyncio.sleep(0)


async def timer_fire(count: int) -> None:
    """Timers in no order, all due within a tenth of a millisecond."""
    loop = asyncio.get_running_loop()
    for _ in range(count // BATCH):
        done = loop.create_future()
        begin = loop.time() + 0.003
        for place in range(BATCH):
            loop.call_at(begin + place * 7919 % BATCH * 1e-7, _nothing)
        loop.call_at(begin + BATCH * 1e-7, done.set_result, None)
        await done


async def task_switch(count: int) -> None:
    """100 tasks that let one another run."""

    async def spin() -> None:
        for _ in range(count // CHILDREN):
            await asyncio.sleep(0)

    for task in [asyncio.create_task(spin()) for _ in range(CHILDREN)]:
        await task


async def create_and_await(count: int) -> None:
    """A task that is created and awaited at once."""
    for _ in range(count):
        await asyncio.create_task(_child())


async def gather(count: int) -> None:
    """A child of a gather of 100."""
    for _ in range(count // CHILDREN):
        await asyncio.gather(*[_child() for _ in range(CHILDREN)])


async def task_group(count: int) -> None:
    """A child of a task group of 100."""
    for _ in range(count // CHILDREN):
        async with asyncio.TaskGroup() as group:
            for _ in range(CHILDREN):
                group.create_task(_child())


async def future(count: int) -> None:
    """A future that is created, resolved by a callback and awaited."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        answer = loop.create_future()
        loop.call_soon(answer.set_result, None)
        await answer


async def queue(count: int) -> None:
    """An item that goes from a producer to a consumer through a bounded queue."""
    items: asyncio.Queue[int] = asyncio.Queue(CHILDREN)

    async def produce() -> None:
        for item in range(count):
            await items.put(item)

    producer = asyncio.create_task(produce())
    for _ in range(count):
        await items.get()
    await producer


async def lock(count: int) -> None:
    """An acquisition of a lock for which ten tasks contend."""
    contended = asyncio.Lock()
    contenders = 10

    async def contend() -> None:
        for _ in range(count // contenders):
            async with contended:
                await asyncio.sleep(0)

    for task in [asyncio.create_task(contend()) for _ in range(contenders)]:
        await task


async def event(count: int) -> None:
    """One wake-up by an event, of two tasks that wake one another in turn."""
    ping, pong = asyncio.Event(), asyncio.Event()

    async def answer() -> None:
        for _ in range(count // 2):
            await ping.wait()
            ping.clear()
            pong.set()

    answering = asyncio.create_task(answer())
    for _ in range(count // 2):
        ping.set()
        await pong.wait()
        pong.clear()
    await answering


async def timeout(count: int) -> None:
    """A time-out around something that takes one turn."""
    for _ in range(count):
        async with asyncio.timeout(FAR):
            await asyncio.sleep(0)


async def wait_for(count: int) -> None:
    """``wait_for`` around something that takes one turn."""
    for _ in range(count):
        await asyncio.wait_for(asyncio.sleep(0), FAR)


async def gathered_sleeps(count: int) -> None:
    """One of 100 gathered sleeps of a millisecond."""
    for _ in range(count // CHILDREN):
        await asyncio.gather(*[asyncio.sleep(0.001) for _ in range(CHILDREN)])


async def threadsafe_wake(count: int) -> None:
    """A sleeping loop woken by another thread, which waits for the callback to run."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    answered = threading.Semaphore(0)

    def wake() -> None:
        for _ in range(count):
            loop.call_soon_threadsafe(answered.release)
            answered.acquire()
        loop.call_soon_threadsafe(done.set_result, None)

    await _with_thread(wake, done)


async def threadsafe_burst(count: int) -> None:
    """A callback of many that another thread schedules without waiting."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def schedule() -> None:
        for _ in range(count):
            loop.call_soon_threadsafe(_nothing)
        loop.call_soon_threadsafe(done.set_result, None)

    await _with_thread(schedule, done)


async def _with_thread(target: Callable[[], None], done: asyncio.Future[None]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    await done
    thread.join()


async def run_in_executor(count: int) -> None:
    """A call in the default executor, awaited."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.run_in_executor(None, _nothing)


async def to_thread(count: int) -> None:
    """A call in another thread, with the context, awaited."""
    for _ in range(count):
        await asyncio.to_thread(_nothing)


async def to_thread_burst(count: int) -> None:
    """One of 100 gathered calls in other threads."""
    for _ in range(count // CHILDREN):
        await asyncio.gather(*[asyncio.to_thread(_nothing) for _ in range(CHILDREN)])


OPERATIONS: dict[str, Operation] = {
    operation.__name__: operation
    for operation in (
        call_soon_chain,
        call_soon_burst,
        timer_cancel,
        timer_fire,
        task_switch,
        create_and_await,
        gather,
        task_group,
        future,
        queue,
        lock,
        event,
        timeout,
        wait_for,
        gathered_sleeps,
        threadsafe_wake,
        threadsafe_burst,
        run_in_executor,
        to_thread,
        to_thread_burst,
    )
}
