"""gather, wait, wait_for, shield, as_completed: over tasks, futures, coroutines and other awaitables."""

import asyncio
import sys
from typing import Any

from ..registry import act, wait
from ..world import FAR, Frame
from .tasks import Detour

Target = list[Any]

DELAYS: dict[str, Any] = {"none": None, "zero": 0, "past": -1, "far": FAR}


def aim(frame: Frame, target: Target) -> Any:
    """Return the awaitable that ``target`` means."""
    world = frame.world
    what, argument = target
    match what:
        case "task":
            return world.awaitable(argument)
        case "future":
            return world.thing("future", argument)
        case "detour":
            return Detour(world.awaitable(argument))
        case "coroutine":
            return frame.child().run(argument)
        case "event":
            return world.thing("event", argument).wait()
        case "lock":
            return world.thing("lock", argument).acquire()
        case "semaphore":
            return world.thing("semaphore", argument).acquire()
        case "get":
            return world.thing("queue", argument).get()
        case "put":
            return world.thing("queue", argument).put(argument)
        case "join":
            return world.thing("queue", argument).join()
        case "barrier":
            return world.thing("barrier", argument).wait()
        case "sleep":
            return asyncio.sleep(0, argument)
        case "number":
            return argument
    raise AssertionError(what)


def aim_awaitable(frame: Frame, target: Target) -> Any:
    """Return an awaitable for ``target``: in a set, chance would tell when something else is refused."""
    thing = aim(frame, target)
    return frame.world.thing("future", thing) if isinstance(thing, int) else thing


def aim_future(frame: Frame, target: Target) -> Any:
    """Return a future for ``target``: what ``wait`` takes."""
    thing = aim_awaitable(frame, target)
    if target[0] == "number":
        return thing
    return frame.world.adopt(asyncio.ensure_future(thing), "W")


@wait("gather", "targets", "yesno")
async def gather(frame: Frame, targets: list[Target], as_values: bool) -> Any:
    things = [aim(frame, target) for target in targets]
    gathered = asyncio.gather(*things, return_exceptions=as_values)
    frame.world.adopt(gathered, "G")
    return await gathered


@act("gather", "targets", "yesno")
def gather_aside(frame: Frame, targets: list[Target], as_values: bool) -> Any:
    things = [aim(frame, target) for target in targets]
    return frame.world.adopt(asyncio.gather(*things, return_exceptions=as_values), "G")


@wait("gather", "target", "few")
async def gather_twice(frame: Frame, target: Target, times: int) -> Any:
    thing = aim(frame, target)
    return await asyncio.gather(*[thing] * times)


@wait("shield", "target")
async def shield(frame: Frame, target: Target) -> Any:
    shielded = asyncio.shield(aim(frame, target))
    frame.world.adopt(shielded, "S")
    return await shielded


@act("shield", "target")
def shield_aside(frame: Frame, target: Target) -> Any:
    return frame.world.adopt(asyncio.shield(aim(frame, target)), "S")


@wait("wait_for", "target", "when")
async def wait_for(frame: Frame, target: Target, when: str) -> Any:
    return await asyncio.wait_for(aim(frame, target), DELAYS[when])


@wait("wait", "targets", "return_when", "when")
async def wait_(frame: Frame, targets: list[Target], return_when: str, when: str) -> Any:
    things = [aim_future(frame, target) for target in targets]
    done, pending = await asyncio.wait(things, return_when=return_when, timeout=DELAYS[when])
    return [done, pending]


@wait("wait", "target")
async def wait_refused(frame: Frame, target: Target) -> Any:
    thing = aim(frame, target)
    try:
        return await asyncio.wait([thing])
    finally:
        if asyncio.iscoroutine(thing):
            thing.close()


@wait("as_completed", "targets", "when", "few")
async def as_completed(frame: Frame, targets: list[Target], when: str, most: int) -> Any:
    world = frame.world
    things = [aim_awaitable(frame, target) for target in targets]
    results = []
    completing: Any = asyncio.as_completed(things, timeout=DELAYS[when])
    for count, completed in enumerate(completing):
        if count == most:
            completed.close()
            break
        try:
            results.append(await completed)
        except Exception as error:
            world.note_error("as_completed", error)
            results.append(error)
    return results


@wait("as_completed", "targets", "when", "few")
async def as_completed_async(frame: Frame, targets: list[Target], when: str, most: int) -> Any:
    if sys.version_info < (3, 13):
        return "not yet"
    world = frame.world
    things = [aim_awaitable(frame, target) for target in targets]
    results = []
    async for completed in asyncio.as_completed(things, timeout=DELAYS[when]):
        same = any(completed is thing for thing in things)
        results.append([same, world.describer.value(completed), completed.done()])
        if len(results) > most:
            break
    return results
