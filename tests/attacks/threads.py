"""``python -m tests.attacks.threads WHAT SEED SECONDS``: eight threads on the same objects.

``safe`` makes the calls that asyncio allows from any thread, and checks what they answer. ``all`` makes every call
on every object from every thread: that is a program's mistake, whose price is an error and not memory.
"""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import ouroloop
from ouroloop import _native

from .chance import Chance
from .world import ERRORS, note

THREADS = 8
HANG = 40.0
EXPECTED = (*ERRORS, asyncio.InvalidStateError, asyncio.CancelledError, TimeoutError)


def main() -> None:
    """Attack for some seconds, and end."""
    what, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    faulthandler.enable()
    faulthandler.dump_traceback_later(seconds + HANG, exit=True)
    warnings.simplefilter("ignore")
    # A thread may well replace the loop's handler of exceptions: then they are logged, whatever they are.
    logging.disable(logging.CRITICAL)
    sys.setswitchinterval(1e-6)
    made = _safe(seed, seconds) if what == "safe" else _all(seed, seconds)
    print(f"{made} calls")
    sys.stdout.flush()
    os._exit(0)


def _in_threads(
    body: Callable[[int], None], meanwhile: Callable[[], None], free: Callable[[], object]
) -> None:
    """Run ``body`` in threads and ``meanwhile`` in this one; from the first end on ``free`` lets go of the others, this too."""
    threads = [
        threading.Thread(target=body, args=(place,), daemon=True) for place in range(THREADS)
    ]
    ended = threading.Event()

    def let_go() -> None:
        while not ended.wait(0.1):
            if not all(thread.is_alive() for thread in threads):
                free()

    for thread in threads:
        thread.start()
    threading.Thread(target=let_go, daemon=True).start()
    meanwhile()
    latest = time.monotonic() + HANG
    for thread in threads:
        thread.join(max(0.0, latest - time.monotonic()))
        assert not thread.is_alive()
    ended.set()


def _safe(seed: int, seconds: float) -> int:
    """Calls, handles and coroutines from everywhere: each one arrives once, or is cancelled and never does."""
    loop = ouroloop.new_event_loop()
    ends = time.monotonic() + seconds
    counts = [0] * THREADS
    arrived = [0] * THREADS
    expected = [0] * THREADS
    event = _native.Event()
    queue: Any = _native.Queue()

    async def work(place: int) -> int:
        await asyncio.sleep(0)
        event.set()
        queue.put_nowait(place)
        await queue.get()
        return place

    def arrive(place: int) -> None:
        arrived[place] += 1

    def body(place: int) -> None:
        chance = Chance(seed + place)
        cancelled = []
        while time.monotonic() < ends:
            counts[place] += 1
            match chance.below(4):
                case 0 | 1:
                    expected[place] += 1
                    loop.call_soon_threadsafe(arrive, place)
                case 2:
                    handle = loop.call_soon_threadsafe(cancelled.append, place)
                    if chance.odds(0.5):
                        handle.cancel()
                        assert handle.cancelled()
                case _:
                    future = asyncio.run_coroutine_threadsafe(work(place), loop)
                    if chance.odds(0.3):
                        future.cancel()
                    elif counts[place] % 10 == 0:
                        assert future.result(HANG) == place
        loop.call_soon_threadsafe(ended.append, place)
        if len(ended) == THREADS:
            loop.call_soon_threadsafe(loop.stop)

    ended: list[int] = []

    def check() -> None:
        if len(ended) == THREADS:
            loop.stop()
        else:
            loop.call_later(0.01, check)

    def run() -> None:
        loop.call_soon(check)
        loop.run_forever()
        for _ in range(20):
            loop.call_soon(loop.stop)
            loop.run_forever()

    _in_threads(body, run, bool)
    run()
    assert arrived == expected, (arrived, expected)
    loop.close()
    return sum(counts)


class _Shared:
    """The objects of all threads, made anew all the time."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.objects: list[Any] = [None] * 24
        self.objects[0] = loop.create_future()
        self.objects[1:] = [self.objects[0]] * 23

    def renew(self, place: int, chance: Chance) -> None:
        loop = self.loop
        gone, self.objects[place] = self.objects[place], chance.one((
            loop.create_future, lambda: loop.create_task(self.work()), lambda: loop.call_soon(int),
            lambda: loop.call_later(0, int), lambda: loop.call_later(100, int), _native.Queue, _native.Event,
            _native.Lock, lambda: _native.Semaphore(1), _native.Condition, lambda: _native.Barrier(2),
            lambda: _native.StreamReader(loop=loop), _native.TaskGroup, lambda: loop, lambda: _native.timeout(0),
            lambda: _native.sleep(0), lambda: _native.wait_for(self.pick(chance), 0.001),
            lambda: _native.gather(self.pick(chance), loop.create_future()), lambda: _native.Lock().acquire(),
            lambda: _native.Handle(int, (), loop), lambda: _native.shield(self.pick(chance)),
        ))()  # fmt: skip
        del gone

    def pick(self, chance: Chance) -> Any:
        return chance.one(self.objects)

    async def work(self) -> None:
        chance = Chance(id(self) & 0xFFFF)
        for _ in range(3):
            await asyncio.sleep(0)
            found = self.pick(chance)
            if isinstance(found, asyncio.Future):
                await asyncio.wait([found], timeout=0.001)


BLIND = frozenset({
    "run_forever", "run_until_complete", "close", "subprocess_exec", "subprocess_shell", "getaddrinfo",
    "getnameinfo", "add_signal_handler", "remove_signal_handler", "print_stack", "shutdown_default_executor",
    "create_server", "create_connection", "register", "mro", "set_default_executor", "run_in_executor",
})  # fmt: skip
STEPS = frozenset(
    {"send", "throw", "__next__", "__await__", "__iter__", "__aenter__", "__aexit__", "__repr__"}
)


def _all(seed: int, seconds: float) -> int:
    loop = ouroloop.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    sys.unraisablehook = lambda seen: note(seen.exc_value)
    ends = time.monotonic() + seconds
    counts = [0] * THREADS
    shared = _Shared(loop)
    names: dict[type, list[str]] = {}

    def body(place: int) -> None:
        chance = Chance(seed + place)
        while time.monotonic() < ends:
            counts[place] += 1
            found = shared.pick(chance)
            kind = type(found)
            if kind not in names:
                names[kind] = [
                    name
                    for name in dir(kind)
                    if name in STEPS or not (name.startswith("_") or name in BLIND)
                ] or ["__repr__"]
            values = (
                shared.pick(chance),
                int,
                1,
                None,
                b"line\n",
                0.001,
                ValueError("v"),
                shared.work,
            )
            given = [chance.one(values) for _ in range(chance.below(3))]
            try:
                if chance.odds(0.2):
                    shared.renew(chance.below(len(shared.objects)), chance)
                elif chance.odds(0.02):
                    # Two threads may well run it at once.
                    loop.call_soon_threadsafe(loop.stop)
                    loop.run_forever()
                else:
                    attribute = getattr(found, chance.one(names[kind]))
                    if callable(attribute):
                        attribute(*given)
            except BaseException as error:
                note(error)

    def run() -> None:
        while time.monotonic() < ends:
            try:
                loop.call_later(0.002, loop.stop)
                loop.run_forever()
            except BaseException as error:
                note(error)

    def stop() -> None:
        # What was to stop a thread's run, this one's too, may have stopped another one's.
        try:
            loop.call_soon_threadsafe(loop.stop)
        except BaseException as error:
            note(error)

    _in_threads(body, run, stop)
    return sum(counts)


if __name__ == "__main__":
    main()
