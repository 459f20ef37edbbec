"""Asynchronous generators, and coroutines driven by hand."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from ..registry import act, wait
from ..world import Body, Frame
from .combinators import Target, aim
from .control import make_error


async def produce(frame: Frame, body: Body, last: Body) -> AsyncGenerator[int, Any]:
    """Yield numbers, ``body`` after each and ``last`` at the end."""
    world = frame.world
    try:
        for number in range(3):
            sent = yield number
            world.note("generator", "got", world.describer.value(sent))
            await frame.steps(body)
    finally:
        await frame.steps(last)


@wait("generators", "few", "leaving", "body", "body")
async def generate(frame: Frame, most: int, leaving: str, body: Body, last: Body) -> Any:
    generator = produce(frame, body, last)
    results: list[Any] = []
    async for number in generator:
        results.append(number)
        if len(results) > most:
            break
    match leaving:
        case "close":
            await generator.aclose()
        case "throw":
            results.append(await generator.athrow(make_error("odd", "thrown in")))
        case "send":
            results.append(await generator.asend("sent"))
        case "keep":
            frame.world.generators.append(generator)
    return results


@act("by hand", "target", "moves")
def drive(frame: Frame, target: Target, moves: list[str]) -> Any:
    thing = aim(frame, target)
    if not hasattr(thing, "__await__"):
        return "nothing to drive"
    iterator = thing if hasattr(thing, "send") else thing.__await__()
    said: list[Any] = []
    try:
        for move in moves:
            said.append(one_move(frame, iterator, move))
            # A C future's iterator answers with a SystemError when sent into after its end.
            if iterator is not thing and (move == "close" or "raised" in (said[-1] or ())):
                break
    finally:
        if hasattr(iterator, "close"):
            iterator.close()
    return said


def one_move(frame: Frame, iterator: Any, move: str) -> Any:
    """Make one move of a driver by hand and describe what came of it."""
    try:
        match move:
            case "next" if not asyncio.iscoroutine(iterator):
                came = next(iterator)
            # A native coroutine is its own iterator, which the interpreter's are not.
            case "send" | "next":
                came = iterator.send(None)
            case "close":
                came = iterator.close()
            case _:
                came = iterator.throw(make_error(move, "thrown in"))
    except BaseException as error:
        return ["raised", frame.world.describer.error(error)]
    if came is None:
        return None
    return [type(came).__name__, came._asyncio_future_blocking]


@act("by hand", "target")
def make_and_close(frame: Frame, target: Target) -> Any:
    thing = aim(frame, target)
    return thing.close() if hasattr(thing, "close") else "no coroutine"


@act("by hand", "target")
def make_and_drop(frame: Frame, target: Target) -> None:
    aim(frame, target)
