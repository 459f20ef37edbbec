"""Yielding, raising, catching, and context variables."""

import asyncio
from collections.abc import Generator
from typing import Any

from ..registry import act, wait
from ..world import FAR, Body, Frame, color


class Whim(BaseException):
    """Neither an ``Exception`` nor one of those that end a process."""


class Odd(Exception):
    """An exception that holds more than its message."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 7)


def make_error(kind: str, message: str) -> BaseException:
    """Return a new exception of ``kind``."""
    match kind:
        case "group":
            return ExceptionGroup(message, [ValueError("one"), KeyError("two")])
        case "base group":
            return BaseExceptionGroup(message, [ValueError("one"), Whim("two")])
        case "cancelled group":
            return BaseExceptionGroup(message, [asyncio.CancelledError("in a group")])
    kinds: dict[str, Any] = {
        "value": ValueError,
        "key": KeyError,
        "odd": Odd,
        "timeout": TimeoutError,
        "cancelled": asyncio.CancelledError,
        "invalid": asyncio.InvalidStateError,
        "stop": StopIteration,
        "stop async": StopAsyncIteration,
        "whim": Whim,
        "exit": SystemExit,
        "interrupt": KeyboardInterrupt,
    }
    error: BaseException = kinds[kind](message)
    return error


class Yielding:
    """Yields one thing to whoever drives the coroutine, as no awaitable of asyncio would."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.thing)


@wait("core", "few")
async def yield_(frame: Frame, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@wait("core")
async def yield_bare(frame: Frame) -> Any:
    return await Yielding(None)


@wait("core", "few")
async def sleep_zero(frame: Frame, result: int) -> Any:
    return await asyncio.sleep(0, result)


@wait("core")
async def sleep_below_zero(frame: Frame) -> Any:
    return await asyncio.sleep(-1, "woke")


@wait("core")
async def sleep_far(frame: Frame) -> Any:
    return await asyncio.sleep(FAR)


@wait("rare", "rarity", "index")
async def yield_odd(frame: Frame, what: str, index: int) -> Any:
    world = frame.world
    things: dict[str, Any] = {
        "number": 5,
        "future": world.thing("future", index),
        "self": asyncio.current_task(),
        "awaitable": world.awaitable(index),
        "exception": ValueError("yielded"),
        "generator": (number for number in range(0)),
    }
    return await Yielding(things[what])


@wait("core", "error", "message")
async def raise_(frame: Frame, kind: str, message: str) -> None:
    raise make_error(kind, message)


@act("core", "few")
def result(frame: Frame, value: int) -> None:
    frame.result = value


@wait("core", "body", "caught", "body", "body")
async def try_(frame: Frame, body: Body, caught: str, handler: Body, last: Body) -> str:
    kinds: dict[str, Any] = {
        "some": Exception,
        "cancelled": asyncio.CancelledError,
        "all": BaseException,
    }
    how = "quietly"
    try:
        await frame.steps(body)
    except GeneratorExit:
        raise
    except kinds[caught] as error:
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise
        how = "after " + type(error).__name__
        await frame.steps(handler)
    finally:
        await frame.steps(last)
    return how


@wait("core", "few", "body")
async def repeat(frame: Frame, times: int, body: Body) -> None:
    for _ in range(times):
        await frame.steps(body)


@act("contexts", "few")
def set_color(frame: Frame, value: int) -> None:
    color.set(value)


@act("contexts")
def get_color(frame: Frame) -> Any:
    return color.get()
