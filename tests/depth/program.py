"""Nests one kind of thing so deep, does one thing with it, and prints what came of it.

``program.py LOOP KIND OPERATION COUNT STACK``: on stock asyncio or on Ouroloop, in a thread with
a stack of so many KiB, or in the main thread for 0. A crash is seen by the exit status.
"""

import asyncio
import contextlib
import contextvars
import gc
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import ouroloop

LOOP, KIND, OPERATION, COUNT, STACK = (
    sys.argv[1],
    sys.argv[2],
    sys.argv[3],
    int(sys.argv[4]),
    int(sys.argv[5]),
)

m: Any = ouroloop if LOOP == "ouroloop" else asyncio


class Awaitable:
    """An object whose ``__await__`` answers another one's iterator."""

    def __init__(self, awaited: Any) -> None:
        self.awaited = awaited

    def __await__(self) -> Any:
        return self.awaited.__await__()


async def plain(awaited: Any) -> Any:
    return await awaited


# What awaits one thing, for things that await another.
AWAITING: dict[str, Callable[[Any], Any]] = {
    "wait_for": lambda awaited: m.wait_for(awaited, None),
    "wait_for_with_time": lambda awaited: m.wait_for(awaited, 1000),
    "awaitable": lambda awaited: m.wait_for(Awaitable(awaited), None),
    "in_python": lambda awaited: plain(m.wait_for(awaited, None)),
    "shield": m.shield,
    "gather": m.gather,
    "wait": lambda awaited: m.wait([m.ensure_future(awaited)]),
    "task": lambda awaited: m.create_task(plain(awaited)),
    "subclassed_task": lambda awaited: SubTask(plain(awaited), loop=asyncio.get_running_loop()),
    "ensure_future": lambda awaited: m.ensure_future(Awaitable(awaited)),
    "as_completed": lambda awaited: next(iter(m.as_completed([awaited]))),
}


class SubTask(m.Task):  # type: ignore[misc]
    pass


def nested(innermost: Any) -> Any:
    made = innermost
    for _ in range(COUNT):
        made = AWAITING[KIND](made)
    return made


async def leaf() -> int:
    return 1


def outcome(body: Callable[[], object]) -> str:
    """Whether it went well, or with which error."""
    try:
        body()
    except BaseException as error:
        return type(error).__name__
    return "done"


async def awaits() -> str:
    try:
        await nested(leaf())
    except BaseException as error:
        return type(error).__name__
    return "done"


async def cancels() -> str:
    """A task is cancelled that waits, as deep as it gets."""
    never = asyncio.get_running_loop().create_future()
    task = m.ensure_future(nested(never))
    for _ in range(5):
        await asyncio.sleep(0)
    if task.done():
        return type(task.exception()).__name__
    # What is awaited through tasks begins level by level.
    while not never._callbacks:
        await asyncio.sleep(0)
    said = outcome(task.cancel)
    never.cancel()
    for _ in range(3 * COUNT):
        if task.done():
            break
        await asyncio.sleep(0)
    return said


async def drops() -> str:
    made = nested(leaf())
    del made
    gc.collect()
    return "done"


async def shows() -> str:
    never = asyncio.get_running_loop().create_future()
    made = nested(never)
    for _ in range(5):
        await asyncio.sleep(0)
    said = outcome(lambda: repr(made))
    never.cancel()
    return said


class Suspended:
    """A chain that waits deeper than the thread that gets it could have begun it."""

    def begin(self) -> None:
        async def main() -> None:
            self.never = asyncio.get_running_loop().create_future()
            self.chain = nested(self.never)
            self.said = outcome(lambda: self.chain.send(None))

        self.loop = m.new_event_loop()
        self.loop.run_until_complete(main())

    def close(self) -> str:
        return outcome(self.chain.close)

    def throw(self) -> str:
        return outcome(lambda: self.chain.throw(KeyError("thrown")))

    def send(self) -> str:
        self.never.set_result(None)
        return outcome(lambda: self.chain.send(None))

    def drop(self) -> str:
        del self.chain
        gc.collect()
        return "done"

    def clear(self) -> str:
        """A cycle through the chain goes."""
        self.cycle = [self.chain]
        self.never.cycle = self.cycle
        self.cycle.append(self.never)
        del self.chain, self.never, self.cycle
        gc.collect()
        return "done"


async def eager() -> str:
    """A task that begins at once begins one that begins at once."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)

    async def step(left: int) -> int:
        return (await loop.create_task(step(left - 1)) if left else 0) + 1

    try:
        await step(COUNT)
    except RecursionError:
        return "RecursionError"
    return "done"


async def handles() -> str:
    """A handle runs a handle that runs a handle."""
    loop = asyncio.get_running_loop()
    errors: list[str] = []
    loop.set_exception_handler(lambda _, said: errors.append(type(said["exception"]).__name__))
    run: Callable[[], None] = int
    for _ in range(COUNT):
        run = m.Handle(run, (), loop, contextvars.Context())._run
    run()
    return errors[0] if errors else "done"


async def handlers() -> str:
    """An exception handler hands the error to the exception handler."""
    loop = asyncio.get_running_loop()
    said: list[str] = []

    def handler(loop: Any, context: Any) -> None:
        try:
            loop.call_exception_handler(context)
        except RecursionError:
            said.append("RecursionError")

    loop.set_exception_handler(handler)
    with contextlib.redirect_stderr(io.StringIO()):
        logging.disable()
        loop.call_exception_handler({"message": "again"})
    return said[0] if said else "done"


def writer(transport: Any) -> Any:
    return m.StreamWriter(transport, None, None, asyncio.get_running_loop())


KEPT: list[Any] = []


class End:
    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass


async def writers() -> str:
    """The transport of a writer is a writer."""
    made: Any = End()
    for _ in range(COUNT):
        made = writer(made)
    # A finalizer asks the transport whether it closes, which here asks all that follow.
    KEPT.append(made)
    said = {
        outcome(lambda: made.write(b"x")),
        outcome(made.is_closing),
        outcome(lambda: repr(made)),
    }
    return said.pop() if len(said) == 1 else str(said)


async def results() -> str:
    """The result of a future is a future."""
    made: Any = None
    for _ in range(COUNT):
        future = asyncio.get_running_loop().create_future()
        future.set_result(made)
        made = future
    return outcome(lambda: repr(made))


async def attributes() -> str:
    """Objects hold one another by their attributes, and go."""
    for make in (m.TaskGroup, lambda: m.timeout(1), asyncio.get_running_loop().create_future):
        made: Any = None
        for _ in range(COUNT):
            other = make()
            other.before = made
            made = other
        del made, other
    return "done"


def in_thread(body: Callable[[], Any], kib: int) -> Any:
    said: list[Any] = []
    threading.stack_size(kib * 1024)
    thread = threading.Thread(target=lambda: said.append(body()))
    thread.start()
    thread.join()
    return said[0]


def run_async(body: Callable[[], Any]) -> str:
    loop = m.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    try:
        return loop.run_until_complete(body())
    finally:
        loop.close()


BODIES = {
    "await": awaits,
    "cancel": cancels,
    "drop": drops,
    "repr": shows,
    "eager": eager,
    "handles": handles,
    "handlers": handlers,
    "writers": writers,
    "results": results,
    "attributes": attributes,
}


def main() -> str:
    if OPERATION.startswith("suspended_"):
        suspended = Suspended()
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(1_000_000)
        in_thread(suspended.begin, 1024 * 1024)
        sys.setrecursionlimit(limit)
        if suspended.said != "done":
            return f"not begun: {suspended.said}"
        work = getattr(suspended, OPERATION.removeprefix("suspended_"))
    else:
        body = BODIES[OPERATION]

        def work() -> str:
            return run_async(body)

    return in_thread(work, STACK) if STACK else work()


warnings.simplefilter("ignore")
sys.unraisablehook = lambda _: None
print(main(), flush=True)
# What the end of the interpreter makes of the rest is not the matter here.
os._exit(0)
