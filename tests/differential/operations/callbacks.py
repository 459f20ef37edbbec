"""Callbacks of the loop: now, from elsewhere, later, never."""

import contextvars
from typing import Any

from ..registry import act
from ..world import FAR, Body, Frame, color
from .control import make_error
from .futures import make_callback


@act("callbacks", "acts")
def soon(frame: Frame, steps: Body) -> None:
    world = frame.world
    world.handles.append(world.loop.call_soon(make_callback(frame, steps), "soon"))


@act("callbacks", "acts")
def soon_threadsafe(frame: Frame, steps: Body) -> None:
    world = frame.world
    world.handles.append(world.loop.call_soon_threadsafe(make_callback(frame, steps)))


@act("contexts", "acts")
def soon_in_context(frame: Frame, steps: Body) -> None:
    world = frame.world
    context = contextvars.copy_context()
    context.run(color.set, "of the call")
    world.handles.append(world.loop.call_soon(make_callback(frame, steps), context=context))


@act("callbacks", "acts")
def later(frame: Frame, steps: Body) -> None:
    world = frame.world
    world.handles.append(world.loop.call_later(0, make_callback(frame, steps), 1, 2))


@act("callbacks", "acts")
def past(frame: Frame, steps: Body) -> None:
    world = frame.world
    # Which of two timers of one moment comes first is not promised, so there are no two.
    when = len(world.handles) / 1000
    world.handles.append(world.loop.call_at(when, make_callback(frame, steps)))


@act("callbacks", "acts")
def far(frame: Frame, steps: Body) -> None:
    world = frame.world
    world.handles.append(world.loop.call_later(FAR, make_callback(frame, steps)))


@act("callbacks", "index")
def cancel_handle(frame: Frame, index: int) -> Any:
    handles = frame.world.handles
    if not handles:
        return "none"
    handle = handles[index % len(handles)]
    handle.cancel()
    # On 3.14 asyncio's thread-safe handles have a class of their own, and ours do not: see the README.
    said = repr(handle).partition(" created")[0].replace("_ThreadSafeHandle", "Handle")
    return [handle.cancelled(), said]


@act("callbacks", "error")
def soon_failing(frame: Frame, kind: str) -> None:
    def failing() -> None:
        raise make_error(kind, "in a call")

    frame.world.loop.call_soon(failing)


@act("callbacks", "acts")
def act_now(frame: Frame, steps: Body) -> None:
    make_callback(frame, steps)()
