"""Making tasks, looking at them, cancelling them."""

import asyncio
import contextvars
import sys
from collections.abc import Generator
from typing import Any

from ..registry import act, wait
from ..world import Body, Frame


class Detour:
    """An awaitable that is neither a coroutine nor a future."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self.inner.__await__())


def start(frame: Frame, how: str, body: Body) -> Any:
    """Make a task that runs ``body``."""
    world = frame.world
    child = frame.child()
    coroutine = child.run(body)
    loop = world.loop
    match how:
        case "create":
            task = asyncio.create_task(coroutine, name=child.name)
        case "loop":
            task = loop.create_task(coroutine, name=child.name)
        case "ensure":
            task = asyncio.ensure_future(coroutine)
            task.set_name(child.name)
        case "detour":
            task = asyncio.ensure_future(Detour(coroutine))
            task.set_name(child.name)
        case "class":
            task = asyncio.Task(coroutine, loop=loop, name=child.name)
        case "subclass":

            class Own(asyncio.Task):  # type: ignore[type-arg]
                def cancel(self, msg: Any = None) -> bool:
                    world.note("own cancel", "called", world.describer.value(msg))
                    return super().cancel(msg)

            task = Own(coroutine, loop=loop, name=child.name)
        case "eager":
            eager: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
            task = asyncio.Task(coroutine, loop=loop, name=child.name, **eager)
        case "context":
            context = contextvars.copy_context()
            task = asyncio.create_task(coroutine, name=child.name, context=context)
        case _:
            raise AssertionError(how)
    return world.adopt(task)


@act("core", "start", "body")
def spawn(frame: Frame, how: str, body: Body) -> Any:
    return start(frame, how, body)


@wait("core", "index")
async def await_(frame: Frame, index: int) -> Any:
    return await frame.world.awaitable(index)


@wait("tasks", "index")
async def await_detour(frame: Frame, index: int) -> Any:
    return await Detour(frame.world.awaitable(index))


@act("core", "index", "message")
def cancel(frame: Frame, index: int, message: str | None) -> Any:
    victim = frame.world.awaitable(index)
    return victim.cancel() if message is None else victim.cancel(msg=message)


@act("cancelling", "message")
def cancel_self(frame: Frame, message: str | None) -> Any:
    task = asyncio.current_task()
    return None if task is None else task.cancel(message)


@act("cancelling", "index")
def uncancel(frame: Frame, index: int) -> Any:
    task = frame.world.awaitable(index)
    return task.uncancel() if hasattr(task, "uncancel") else "no task"


@act("cancelling")
def uncancel_self(frame: Frame) -> Any:
    task = asyncio.current_task()
    return None if task is None else task.uncancel()


@act("cancelling")
def cancelling_self(frame: Frame) -> Any:
    task = asyncio.current_task()
    return None if task is None else task.cancelling()


@act("core", "index")
def look(frame: Frame, index: int) -> Any:
    return glance(frame.world.awaitable(index))


def glance(future: Any) -> Any:
    """Return what a future's methods say of its state."""
    seen: dict[str, Any] = {"done": future.done(), "cancelled": future.cancelled()}
    if hasattr(future, "cancelling"):
        seen["cancelling"] = future.cancelling()
    for method in ("exception", "result"):
        try:
            seen[method] = getattr(future, method)()
        except BaseException as error:
            seen[method] = ["raised", type(error).__name__, str(error)]
    return seen


@act("tasks", "index")
def show(frame: Frame, index: int) -> str:
    future = frame.world.awaitable(index)
    # A done callback's place in the source is not ours to repeat, and a shield's inner future has one.
    return repr(future).partition(" cb=")[0]


@act("tasks", "index", "few")
def rename(frame: Frame, index: int, name: int) -> Any:
    task = frame.world.awaitable(index)
    if not hasattr(task, "set_name"):
        return "no task"
    task.set_name(name)
    return task.get_name()


@act("tasks")
def who(frame: Frame) -> Any:
    tasks = asyncio.all_tasks(frame.world.loop)
    return [asyncio.current_task(frame.world.loop), tasks]


@act("tasks", "index")
def inner(frame: Frame, index: int) -> Any:
    task = frame.world.awaitable(index)
    # To ask an eager task that has ended for its coroutine brings stock 3.12.1 down.
    if not hasattr(task, "get_coro") or task.done():
        return "no task that runs"
    coroutine = task.get_coro()
    # Up to 3.11 asyncio makes a generator where others make a coroutine of an awaitable.
    asyncios = "_wrap_awaitable" in coroutine.__qualname__
    kind = "asyncio's" if asyncios else type(coroutine).__name__
    return [kind, len(task.get_stack(limit=1))]


@act("tasks", "index")
def kinds(frame: Frame, index: int) -> Any:
    thing = frame.world.awaitable(index)
    return [
        asyncio.isfuture(thing),
        isinstance(thing, asyncio.Future),
        isinstance(thing, asyncio.Task),
        asyncio.iscoroutine(thing),
        asyncio.ensure_future(thing) is thing,
        thing.get_loop() is frame.world.loop,
    ]


@act("tasks", "index", "few")
def forbidden(frame: Frame, index: int, value: int) -> Any:
    thing = frame.world.awaitable(index)
    if hasattr(thing, "get_name"):
        return thing.set_result(value) if value % 2 else thing.set_exception(ValueError("no"))
    return "no task"


@act("rare", "yesno")
def eager_tasks(frame: Frame, on: bool) -> Any:
    factory: Any = getattr(asyncio, "eager_task_factory", None)
    frame.world.loop.set_task_factory(factory if on else None)
    return frame.world.loop.get_task_factory() is factory
