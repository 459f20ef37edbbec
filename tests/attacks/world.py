"""One batch's state: its loops, the objects it has met, how many calls are left, and what it saw go wrong.

Rules:

1. Every call that a batch makes goes through :func:`call`, which counts it before it happens, so that a crash
   loses none, and keeps what it answers.
2. Whatever is called back goes through :func:`react`: that is where actions nest, down to a depth.
3. Nothing here holds an object for good but the pool, and a place of the pool is always about to be taken.
"""

import gc
import os
import sys
import time
import traceback
import types
from collections.abc import Callable
from contextvars import Context
from typing import Any

from .chance import Chance
from .verdict import OF_OURS

DEEPEST = 3
MOST_OBJECTS = 120
ERRORS = (
    ValueError, TypeError, KeyError, AttributeError, IndexError, OSError, BufferError, RuntimeError,
    StopIteration, StopAsyncIteration, GeneratorExit, RecursionError, MemoryError, KeyboardInterrupt,
)  # fmt: skip
OURS = ("ouroloop", "asyncio", "_asyncio", "tests.attacks", "__main__")
KEPT = (
    types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType, types.MethodType,
    types.BuiltinMethodType, Context,
)  # fmt: skip

SPARED = "<class '_asyncio.FutureIter'>"
"""Stock asyncio's iterator of a future crashes when it is stepped after a ``throw``, since 3.14."""


class Stuck(BaseException):
    """Raised by the alarm where the batch has not moved."""


class World:
    """What a batch works on. There is one in a process: :data:`world`."""

    def __init__(self) -> None:
        self.chance = Chance(0)
        self.act: Callable[[], object] = bool
        self.left = 0
        self.depth = 0
        self.made: Any = [0]
        self.pool: list[Any] = []
        self.loops: list[Any] = []
        self.starve: Callable[..., Any] | None = None
        self.trace: Callable[..., None] | None = None
        self.temper = 0.25
        self._kept: dict[type, bool] = {}

    def begin(self, seed: int, calls: int) -> None:
        self.chance = Chance(seed)
        self.left = calls
        self.temper = self.chance.one((0.1, 0.25, 0.5))

    def pick(self) -> Any:
        """Return an object that a call answered; None while there is none."""
        return self.chance.one(self.pool) if self.pool else None

    def pick_a(self, kind: type) -> Any:
        """Return an object of a class, if a few draws meet one."""
        for _ in range(8):
            found = self.pick()
            if isinstance(found, kind) if type(found) is not kind else True:
                return found
        return None

    def keep(self, found: Any) -> None:
        kind = type(found)
        kept = self._kept.get(kind)
        if kept is None:
            if len(self._kept) > 2000:
                self._kept.clear()
            kept = self._kept[kind] = type.__repr__(kind) != SPARED and (
                issubclass(kind, KEPT)
                or any(
                    str(base.__dict__.get("__module__", "")).startswith(OURS)
                    for base in kind.__mro__
                )
            )
        if not kept:
            return
        if len(self.pool) < MOST_OBJECTS:
            self.pool.append(found)
        else:
            # The object that leaves may run anything, and the pool may be another one by then.
            place = self.chance.below(MOST_OBJECTS)
            gone, self.pool[place] = self.pool[place], found
            del gone

    def forget(self) -> None:
        """Let some objects go."""
        for _ in range(self.chance.below(6)):
            if self.pool:
                gone = self.pool.pop(self.chance.below(len(self.pool)))
                del gone


world = World()


def note(error: BaseException | None) -> None:
    """Say so if an error is one that no program may see."""
    name = type(error).__name__
    if name == "PanicException":
        os.write(2, b"PanicException seen\n")
    elif name in ("SystemError", "RuntimeError") and error is not None and error.args:
        text = error.args[0]
        if type(text) is str and (name == "SystemError" or OF_OURS.search(text)):
            where = "".join(traceback.format_tb(error.__traceback__)[-3:])
            os.write(2, f"{name}: {text}\n{where}".encode("utf-8", "replace"))


def call(function: Any, /, *arguments: Any, **named: Any) -> Any:
    """Call, count, and keep what comes of it. An error is an answer as good as any."""
    if world.left <= 0:
        return None
    world.left -= 1
    # A finalizer that makes a call of its own may run anywhere from here on.
    world.made[0] = number = world.made[0] + 1
    try:
        if world.trace is not None:
            world.trace(number, function, arguments, named)
        if world.starve is not None:
            answer = world.starve(function, arguments, named)
        else:
            answer = function(*arguments, **named)
        world.keep(answer)
    except BaseException as error:
        note(error)
        return None
    return answer


def react(probability: float | None = None) -> None:
    """Do something unexpected, or nothing, or fail: called wherever native code calls back."""
    chance = world.chance
    if world.left <= 0 or world.depth >= DEEPEST:
        return
    if chance.odds(world.temper if probability is None else probability):
        world.depth += 1
        try:
            world.act()
        finally:
            world.depth -= 1
    if chance.odds(0.05):
        raise chance.one(ERRORS)("evil")


def react_quietly(probability: float = 0.4) -> None:
    """React where an error could only be printed."""
    try:
        react(probability)
    except BaseException as error:
        note(error)


def collect() -> None:
    gc.collect(world.chance.one((0, 0, 1, 2)))


def let_others_run() -> None:
    time.sleep(0)


def wreck(*_: object, **__: object) -> Any:
    """Stand for any callback."""
    react()
    return world.pick() if world.chance.odds(0.3) else None


def no_audience() -> None:
    """Errors that only a hook hears of are looked at, and not printed."""
    sys.unraisablehook = lambda seen: note(seen.exc_value)
