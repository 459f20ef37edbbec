"""Lock, Event, Condition, Semaphore, Barrier."""

import asyncio
from typing import Any

from ..registry import act, wait
from ..world import Body, Frame


@wait("lock", "index")
async def lock_acquire(frame: Frame, index: int) -> Any:
    return await frame.world.thing("lock", index).acquire()


@act("lock", "index")
def lock_release(frame: Frame, index: int) -> Any:
    return frame.world.thing("lock", index).release()


@wait("lock", "index", "body")
async def lock_with(frame: Frame, index: int, body: Body) -> Any:
    async with frame.world.thing("lock", index) as held:
        await frame.steps(body)
    return held


@act("primitives", "primitive", "index")
def show_primitive(frame: Frame, kind: str, index: int) -> Any:
    thing = frame.world.thing(kind, index)
    said: list[Any] = [repr(thing)]
    said += [getattr(thing, method)() for method in ("locked", "is_set") if hasattr(thing, method)]
    return said + [
        getattr(thing, name) for name in ("parties", "n_waiting", "broken") if hasattr(thing, name)
    ]


@act("primitives", "primitive", "index")
def primitive_kinds(frame: Frame, kind: str, index: int) -> Any:
    thing = frame.world.thing(kind, index)
    standard: Any = getattr(asyncio, type(thing).__name__)
    return [type(thing).__name__, isinstance(thing, standard), bool(thing), hasattr(thing, "x")]


@wait("event", "index")
async def event_wait(frame: Frame, index: int) -> Any:
    return await frame.world.thing("event", index).wait()


@act("event", "index")
def event_set(frame: Frame, index: int) -> Any:
    return frame.world.thing("event", index).set()


@act("event", "index")
def event_clear(frame: Frame, index: int) -> Any:
    return frame.world.thing("event", index).clear()


@wait("condition", "index", "body")
async def condition_with(frame: Frame, index: int, body: Body) -> Any:
    async with frame.world.thing("condition", index) as held:
        await frame.steps(body)
    return held


@wait("condition", "index")
async def condition_acquire(frame: Frame, index: int) -> Any:
    return await frame.world.thing("condition", index).acquire()


@act("condition", "index")
def condition_release(frame: Frame, index: int) -> Any:
    return frame.world.thing("condition", index).release()


@wait("condition", "index")
async def condition_wait(frame: Frame, index: int) -> Any:
    return await frame.world.thing("condition", index).wait()


@wait("condition", "index", "few", "few")
async def condition_wait_for(frame: Frame, index: int, looks: int, answer: int) -> Any:
    asked = 0

    def satisfied() -> Any:
        nonlocal asked
        asked += 1
        frame.world.note("satisfied", "asked", asked)
        return answer if asked > looks else 0

    return await frame.world.thing("condition", index).wait_for(satisfied)


@act("condition", "index", "few")
def condition_notify(frame: Frame, index: int, number: int) -> Any:
    return frame.world.thing("condition", index).notify(number)


@act("condition", "index")
def condition_notify_all(frame: Frame, index: int) -> Any:
    return frame.world.thing("condition", index).notify_all()


@wait("semaphore", "index")
async def semaphore_acquire(frame: Frame, index: int) -> Any:
    return await frame.world.thing("semaphore", index).acquire()


@act("semaphore", "index")
def semaphore_release(frame: Frame, index: int) -> Any:
    return frame.world.thing("semaphore", index).release()


@wait("semaphore", "index", "body")
async def semaphore_with(frame: Frame, index: int, body: Body) -> Any:
    async with frame.world.thing("semaphore", index) as held:
        await frame.steps(body)
    return held


@wait("barrier", "index")
async def barrier_wait(frame: Frame, index: int) -> Any:
    return await frame.world.thing("barrier", index).wait()


@wait("barrier", "index", "body")
async def barrier_with(frame: Frame, index: int, body: Body) -> Any:
    async with frame.world.thing("barrier", index) as position:
        await frame.steps(body)
    return position


@wait("barrier", "index")
async def barrier_reset(frame: Frame, index: int) -> Any:
    return await frame.world.thing("barrier", index).reset()


@wait("barrier", "index")
async def barrier_abort(frame: Frame, index: int) -> Any:
    return await frame.world.thing("barrier", index).abort()
