"""Python code that a native method runs calls the method again, without end.

``reentry.py LOOP KIND STACK``: on stock asyncio or on Ouroloop, in a thread with a stack of so many KiB, or of
the usual size for 0. Prints what came of it; a crash is seen by the exit status.
"""

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import ouroloop

LOOP, KIND, STACK = sys.argv[1], sys.argv[2], int(sys.argv[3])
if LOOP == "ouroloop":
    ouroloop.install()
new_loop: Any = ouroloop.new_event_loop if LOOP == "ouroloop" else asyncio.SelectorEventLoop
loop = new_loop()


async def nothing() -> None:
    pass


class Odd:
    """Goes round whatever is asked of it."""

    def _round(self, *_: object, **__: object) -> Any:
        KINDS[KIND]()
        return 1

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _round
    __hash__ = object.__hash__
    __index__ = __int__ = __float__ = __bool__ = __len__ = fileno = _round
    __add__ = __radd__ = get_debug = submit = _round

    def __str__(self) -> str:
        return str(self._round())

    __repr__ = __str__


class OddError(Exception):
    def __init__(self) -> None:
        KINDS[KIND]()


class OddQueue(asyncio.Queue[Any]):
    def _put(self, item: Any) -> None:
        KINDS[KIND]()

    def _init(self, maxsize: int) -> None:
        KINDS[KIND]()


def removes() -> Any:
    future = loop.create_future()
    future.add_done_callback(print)
    future.remove_done_callback(Odd())


def fails() -> Any:
    loop.create_future().set_exception(OddError)


def orders() -> Any:
    queue: Any = asyncio.PriorityQueue()
    queue.put_nowait(Odd())
    queue.put_nowait(Odd())


def takes() -> Any:
    queue: Any = asyncio.PriorityQueue()
    queue._queue = [Odd(), Odd(), Odd()]
    queue.get_nowait()


def bounds() -> Any:
    asyncio.Queue(Odd()).put_nowait(1)  # type: ignore[arg-type]


def puts() -> Any:
    queue: Any = OddQueue.__new__(OddQueue)
    asyncio.Queue.__init__(queue)
    queue.put_nowait(1)


def creates() -> Any:
    loop.set_task_factory(lambda *_, **__: KINDS[KIND]())
    coroutine = nothing()
    try:
        loop.create_task(coroutine)
    finally:
        coroutine.close()


def names() -> Any:
    coroutine = nothing()
    try:
        asyncio.Task(coroutine, loop=loop, name=Odd())
    finally:
        coroutine.close()


def barrier() -> Any:
    asyncio.Barrier(Odd())  # type: ignore[arg-type]


KINDS: dict[str, Callable[[], Any]] = {
    "removes": removes,
    "fails": fails,
    "orders": orders,
    "takes": takes,
    "bounds": bounds,
    "puts": puts,
    "inits": OddQueue,
    "future": lambda: asyncio.Future(loop=Odd()),  # type: ignore[arg-type]
    "delays": lambda: loop.call_later(Odd(), print),
    "times": lambda: loop.call_at(Odd(), print),
    "sets_debug": lambda: loop.set_debug(Odd()),
    "watches": lambda: loop.add_reader(Odd(), print),
    "unwatches": lambda: loop.remove_writer(Odd()),
    "signals": lambda: loop.remove_signal_handler(Odd()),
    "creates": creates,
    "names": names,
    "submits": lambda: loop.run_in_executor(Odd(), print),
    "semaphore": lambda: asyncio.Semaphore(Odd()),  # type: ignore[arg-type]
    "barrier": barrier,
    "limits": lambda: asyncio.StreamReader(limit=Odd(), loop=loop),  # type: ignore[arg-type]
    "feeds": lambda: asyncio.StreamReader(loop=loop).feed_data(Odd()),  # type: ignore[arg-type]
    "timeouts": lambda: asyncio.timeout(Odd()).reschedule(Odd()),  # type: ignore[arg-type]
}


def run() -> None:
    asyncio._set_running_loop(loop)
    try:
        KINDS[KIND]()
    except BaseException as error:
        print(type(error).__name__)
    else:
        print("done")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    sys.unraisablehook = lambda _: None
    if STACK:
        threading.stack_size(STACK * 1024)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
