"""Futures, and the callbacks that wait for them."""

import asyncio
import concurrent.futures
import contextvars
from typing import Any

from ..registry import act, wait
from ..world import Body, Frame, color
from .control import make_error
from .tasks import glance


@act("futures", "index", "yesno")
def new_future(frame: Frame, index: int, by_class: bool) -> None:
    world = frame.world
    future = asyncio.Future(loop=world.loop) if by_class else world.loop.create_future()
    world.put("future", index, future)


@act("futures", "index", "few")
def set_result(frame: Frame, index: int, value: int) -> Any:
    return frame.world.thing("future", index).set_result(value)


@act("futures", "index", "error", "yesno")
def set_exception(frame: Frame, index: int, kind: str, as_class: bool) -> Any:
    error = make_error(kind, "set")
    if as_class and not isinstance(error, BaseExceptionGroup):
        return frame.world.thing("future", index).set_exception(type(error))
    return frame.world.thing("future", index).set_exception(error)


@act("futures", "index", "message")
def cancel_future(frame: Frame, index: int, message: str | None) -> Any:
    return frame.world.thing("future", index).cancel(message)


@wait("futures", "index")
async def await_future(frame: Frame, index: int) -> Any:
    return await frame.world.thing("future", index)


@act("futures", "index")
def look_at_future(frame: Frame, index: int) -> Any:
    return glance(frame.world.thing("future", index))


@act("futures", "index")
def show_future(frame: Frame, index: int) -> str:
    return repr(frame.world.thing("future", index)).partition(" cb=")[0]


@act("futures", "index")
def adopt_future(frame: Frame, index: int) -> Any:
    return frame.world.adopt(frame.world.thing("future", index))


@act("futures", "index")
def wrap_concurrent(frame: Frame, index: int) -> Any:
    world = frame.world
    outer: concurrent.futures.Future[Any] = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(outer, loop=world.loop)
    match index % 4:
        case 0:
            outer.set_result(index)
        case 1:
            outer.set_exception(make_error("key", "concurrent"))
        case 2:
            outer.cancel()
    world.callbacks.append(outer)
    return world.adopt(wrapped, "wrapped ")


def make_callback(frame: Frame, steps: Body) -> Any:
    """Return a function that runs ``steps``, whatever it is called with."""
    world = frame.world
    inside = Frame(world, world.count("C"))

    def callback(*arguments: Any) -> None:
        world.note(inside.name, "called", [world.describer.value(arguments), color.get()])
        world.act(steps, inside)

    return callback


@act("core", "index", "acts")
def add_callback(frame: Frame, index: int, steps: Body) -> Any:
    callback = make_callback(frame, steps)
    frame.world.callbacks.append(callback)
    return frame.world.awaitable(index).add_done_callback(callback)


@act("futures", "index", "acts")
def add_callback_in_context(frame: Frame, index: int, steps: Body) -> Any:
    callback = make_callback(frame, steps)
    frame.world.callbacks.append(callback)
    context = contextvars.copy_context()
    context.run(color.set, "of the callback")
    return frame.world.awaitable(index).add_done_callback(callback, context=context)


@act("futures", "index", "index")
def remove_callback(frame: Frame, index: int, which: int) -> Any:
    world = frame.world
    if not world.callbacks:
        return "none"
    callback = world.callbacks[which % len(world.callbacks)]
    return world.awaitable(index).remove_done_callback(callback)


@act("futures", "index", "error")
def add_failing_callback(frame: Frame, index: int, kind: str) -> Any:
    def failing(_: Any) -> None:
        raise make_error(kind, "in a callback")

    return frame.world.awaitable(index).add_done_callback(failing)
