"""Time-outs and task groups."""

import asyncio
import contextvars
from typing import Any

from ..registry import act, wait
from ..world import FAR, Body, Frame


def moment(frame: Frame, when: str, *, relative: bool) -> Any:
    """Return what ``when`` means, as a delay or as the loop's time."""
    if when == "none":
        return None
    delay = {"zero": 0.0, "past": -1.0, "far": FAR}[when]
    return delay if relative else frame.world.loop.time() + delay


def show_scope(scope: Any) -> Any:
    """Return what a time-out says of itself."""
    return [scope.when() is not None, scope.expired(), repr(scope)]


@wait("timeouts", "when", "yesno", "body")
async def timeout(frame: Frame, when: str, relative: bool, body: Body) -> Any:
    make: Any = asyncio.timeout if relative else asyncio.timeout_at
    scope = make(moment(frame, when, relative=relative))
    frame.world.scopes.append(scope)
    try:
        async with scope:
            await frame.steps(body)
    finally:
        frame.world.note("timeout", "left", frame.world.describer.value(show_scope(scope)))
    return show_scope(scope)


@act("timeouts", "index", "when")
def reschedule(frame: Frame, index: int, when: str) -> Any:
    scopes = frame.world.scopes
    if not scopes:
        return "none"
    scope = scopes[index % len(scopes)]
    scope.reschedule(moment(frame, when, relative=False))
    return show_scope(scope)


@act("timeouts", "index")
def look_at_timeout(frame: Frame, index: int) -> Any:
    scopes = frame.world.scopes
    return show_scope(scopes[index % len(scopes)]) if scopes else "none"


@wait("timeouts", "index")
async def enter_timeout_again(frame: Frame, index: int) -> Any:
    scopes = frame.world.scopes
    if not scopes:
        return "none"
    async with scopes[index % len(scopes)]:
        return "entered"


@wait("groups", "body")
async def group(frame: Frame, body: Body) -> Any:
    world = frame.world
    made = asyncio.TaskGroup()
    world.groups.append(made)
    async with made:
        await frame.steps(body)
    return repr(made)


@act("groups", "index", "yesno", "body")
def group_spawn(frame: Frame, index: int, in_context: bool, body: Body) -> Any:
    world = frame.world
    if not world.groups:
        return "none"
    chosen = world.groups[-1 - index % len(world.groups)]
    child = frame.child()
    coroutine = child.run(body)
    context = contextvars.copy_context() if in_context else None
    try:
        return world.adopt(chosen.create_task(coroutine, name=child.name, context=context))
    finally:
        if index % 5 == 4:
            coroutine.close()


@act("groups", "index")
def show_group(frame: Frame, index: int) -> Any:
    groups = frame.world.groups
    return repr(groups[-1 - index % len(groups)]) if groups else "none"


@wait("groups", "index")
async def enter_group_again(frame: Frame, index: int) -> Any:
    groups = frame.world.groups
    if not groups:
        return "none"
    async with groups[-1 - index % len(groups)]:
        return "entered"
