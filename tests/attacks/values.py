"""Arguments: what belongs there, what almost does, and what nobody would pass."""

import asyncio
import contextvars
import functools
import os
import socket
from collections.abc import Callable
from typing import Any

from . import evil
from .targets import CLASSES, FUNCTIONS
from .world import react, world, wreck

KEYWORDS = (
    "loop", "context", "name", "timeout", "limit", "return_exceptions", "return_when", "eager_start", "msg",
    "delay", "when", "result", "n", "separator", "maxsize", "value", "immediate", "file", "parties", "lock",
    "coro", "fut", "default", "data", "high", "low", "callback", "args", "transport", "reader", "protocol",
)  # fmt: skip

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default=None)


async def short() -> Any:
    react()
    await asyncio.sleep(0)
    react()
    return world.pick()


async def waiting() -> Any:
    variable.set(world.pick())
    try:
        await future()
    except BaseException:
        react()
        if world.chance.odds(0.6):
            raise
    return evil.SlottedEvil()


async def native_sleep() -> Any:
    await asyncio.sleep(world.chance.one((0, 0, 0.0002)), evil.Finalized())


async def yielding_numbers() -> Any:
    react()
    yield 1
    try:
        yield evil.Finalized()
    finally:
        react()
        await asyncio.sleep(0)


def generator() -> Any:
    try:
        yield world.pick()
        react()
        yield None
    finally:
        react()


def future() -> Any:
    """Return a future of the pool, or a new one."""
    found = world.pick_a(asyncio.Future)
    return current_loop().create_future() if found is None else found


def current_loop() -> Any:
    """Return the loop that runs, mostly."""
    return world.loops[0] if world.chance.odds(0.85) else world.loops[1]


def coroutine() -> Any:
    return world.chance.one((short, waiting, native_sleep))()


def awaitable() -> Any:
    return world.chance.one((future, future, coroutine, world.pick))()


def data() -> Any:
    return world.chance.one((
        b"", b"abc", b"a\nb\n", b"x" * 70_000, evil.EvilBytes(b"evil"), bytearray(b"bytes"), memoryview(b"view"),
        memoryview(bytearray(8)), evil.EvilByteArray(b"array"), memoryview(b"12345678").cast("Q"), "text", None,
    ))  # fmt: skip


def number() -> Any:
    return world.chance.one(evil.NUMBERS)


def moment() -> Any:
    """Seconds of all kinds."""
    chance = world.chance
    return (
        chance.one(evil.FLOATS) if chance.odds(0.8) else chance.one((None, evil.Evil(), number()))
    )


def callback() -> Any:
    return world.chance.one(
        (wreck, wreck, evil.Evil, functools.partial(wreck, world.pick()), len, evil.Evil())
    )


def error() -> Any:
    return world.chance.one((
        ValueError, ValueError("v"), StopIteration, StopIteration(evil.Finalized()), asyncio.CancelledError("c"),
        GeneratorExit(), KeyboardInterrupt(), evil.EvilError(world.pick()), evil.EvilCancelled(), SystemExit, 1,
    ))  # fmt: skip


def container() -> Any:
    one = world.pick()
    return world.chance.one((
        (), [], {}, (1,), [one, one], (one,), evil.EvilTuple((one, 1)), evil.EvilList([one, wreck]), {1: one},
        evil.EvilDict(a=one), iter([one]), range(3),
    ))  # fmt: skip


descriptors: list[Any] = []
"""Sockets and pipes' ends that stay open, and numbers that are nobody's."""


def open_descriptors() -> None:
    for end in (*socket.socketpair(), *socket.socketpair(type=socket.SOCK_DGRAM)):
        end.setblocking(False)
        descriptors.append(end)
    for number_of_end in os.pipe():
        os.set_blocking(number_of_end, False)
        descriptors.append(number_of_end)
    closed = socket.socket()
    closed.close()
    descriptors.extend((closed, -1, 2**31 - 1, 10**6, "text"))


def descriptor() -> Any:
    return world.chance.one(descriptors)


def text() -> Any:
    return world.chance.one(
        ("", "name", "\ud800", "x" * 1000, evil.EvilText("evil"), "FIRST_COMPLETED")
    )


_MAKERS: list[Callable[[], Any]] = [
    *[world.pick] * 12, *[evil.Evil] * 4, evil.SlottedEvil, evil.Finalized, evil.Masked, evil.EvilConcurrent,
    *[number] * 3, *[moment] * 2, data, text, *[callback] * 4, coroutine, generator, yielding_numbers, error,
    container, descriptor, contextvars.copy_context, *[current_loop] * 3, *[type(None)] * 3, future,
    lambda: evil.EvilInt(world.chance.below(5)), lambda: evil.EvilFloat(0.001), object,
    lambda: world.chance.one(CLASSES), lambda: world.chance.one(FUNCTIONS),
]  # fmt: skip


def value() -> Any:
    return world.chance.one(_MAKERS)()


def arguments() -> list[Any]:
    return [value() for _ in range(world.chance.one((0, 0, 0, 1, 1, 1, 2, 2, 3, 4)))]


def named() -> dict[str, Any]:
    if world.chance.odds(0.8):
        return {}
    return {world.chance.one(KEYWORDS): value() for _ in range(1 + world.chance.below(2))}
