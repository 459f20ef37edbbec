"""Well-formed calls: what brings objects into the states that the blind ones then meet."""

import asyncio
import contextvars
import sys
from collections.abc import Callable
from typing import Any

import ouroloop
from ouroloop import _native

from . import evil
from .values import (
    arguments,
    awaitable,
    callback,
    coroutine,
    current_loop,
    data,
    error,
    future,
    moment,
    number,
    value,
)
from .world import call, react, world, wreck


def _context() -> dict[str, Any]:
    chance = world.chance
    return (
        {"context": chance.one((contextvars.copy_context(), world.pick()))}
        if chance.odds(0.2)
        else {}
    )


def _soon() -> None:
    call(current_loop().call_soon, callback(), *arguments(), **_context())


def _threadsafe() -> None:
    call(current_loop().call_soon_threadsafe, callback(), *arguments())


def _later() -> None:
    loop = current_loop()
    if world.chance.odds(0.3):
        call(
            loop.call_at,
            loop.time() if world.chance.odds(0.5) else moment(),
            callback(),
            *arguments(),
        )
    else:
        call(
            loop.call_later,
            world.chance.one((0, 0, 0.0002, 100, moment())),
            callback(),
            *arguments(),
        )


def _future() -> None:
    chance = world.chance
    call(current_loop().create_future)
    if chance.odds(0.5):
        call(chance.one((_native.Future, ouroloop.Future)), loop=current_loop())


def _task() -> None:
    chance = world.chance
    options = _context()
    if chance.odds(0.2):
        options["name"] = value()
    if sys.version_info >= (3, 12) and chance.odds(0.3):
        options["eager_start"] = True
        call(_native.Task, coroutine(), loop=current_loop(), **options)
    elif chance.odds(0.5):
        call(current_loop().create_task, coroutine(), **options)
    else:
        options.pop("context", None)
        call(_native.create_task, coroutine(), **options)


def _task_that_returns_a_handle() -> None:
    """What nobody awaits keeps what it answers until the loop lets go of it."""
    loop = world.loops[0]

    async def answering() -> Any:
        handle = loop.call_soon(wreck) if world.chance.odds(0.5) else loop.call_later(0, wreck)
        if world.chance.odds(0.3):
            raise ValueError(handle)
        return handle

    call(loop.create_task, answering())


def _await_it() -> None:
    found = world.pick()

    async def awaiting() -> Any:
        try:
            return await found
        finally:
            react()

    if hasattr(type(found), "__await__"):
        call(world.loops[0].create_task, awaiting())


def _settle() -> None:
    """Settle a future by its class's own methods, or by those of whatever it is."""
    chance = world.chance
    found = future()
    kind = chance.one((_native.Future, type(found)))
    match chance.below(5):
        case 0 | 1:
            call(kind.set_result, found, value())
        case 2:
            call(kind.set_exception, found, error())
        case 3:
            call(kind.cancel, found, *((value(),) if chance.odds(0.3) else ()))
        case _:
            call(chance.one((kind.result, kind.exception, kind.remove_done_callback)), found)


def _when_done() -> None:
    chance = world.chance
    found = future()
    if chance.odds(0.8):
        call(found.add_done_callback, callback(), **_context())
    else:
        call(found.remove_done_callback, callback())


def _cancel() -> None:
    found = world.pick()
    method = getattr(type(found), "cancel", None)
    if method is not None:
        call(method, found)


def _combine() -> None:
    chance = world.chance
    several = [awaitable() for _ in range(chance.below(4))]
    match chance.below(8):
        case 0 | 1:
            call(_native.gather, *several, return_exceptions=chance.odds(0.5))
        case 2:
            call(_native.wait, several, timeout=moment(), return_when=chance.one(_WHEN))
        case 3:
            call(_native.as_completed, several, timeout=moment())
        case 4:
            call(_native.wait_for, awaitable(), moment())
        case 5:
            call(_native.shield, awaitable())
        case 6:
            call(_native.sleep, moment(), value())
        case _:
            call(_native.ensure_future, awaitable(), loop=current_loop())


_WHEN = (
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "ALL_COMPLETED",
    evil.EvilText("ALL_COMPLETED"),
    None,
)


def _scope() -> None:
    """A task group or a timeout, used as it should be, with what reacts inside."""
    chance = world.chance
    scope = chance.one(
        (_native.TaskGroup, lambda: _native.timeout(moment()), lambda: _native.timeout_at(moment()))
    )

    async def inside() -> None:
        async with call(scope) as entered:
            world.keep(entered)
            react()
            if isinstance(entered, _native.TaskGroup):
                world.keep(entered.create_task(coroutine()))
            await awaitable()

    call(world.loops[0].create_task, inside())


def _handle() -> None:
    loop = current_loop()
    if world.chance.odds(0.5):
        call(_native.Handle, callback(), tuple(arguments()), loop)
    else:
        call(_native.TimerHandle, loop.time(), callback(), tuple(arguments()), loop)


def _lock() -> None:
    chance = world.chance
    made = call(chance.one((
        _native.Lock, _native.Event, _native.Condition, _native.Semaphore, _native.BoundedSemaphore,
        lambda: _native.Barrier(2), lambda: _native.Semaphore(chance.below(3)),
    )))  # fmt: skip
    for name in ("acquire", "wait", "acquire"):
        if hasattr(made, name):
            call(getattr(made, name))


def _queue() -> None:
    chance = world.chance
    made = call(
        chance.one((_native.Queue, _native.PriorityQueue, _native.LifoQueue)), chance.below(3)
    )
    for _ in range(chance.below(3)):
        call(made.put_nowait, value())
    call(made.get)
    call(made.put, value())


def _wait_for_a_lock() -> None:
    """Have a task wait for what the pool has: locks, queues, readers."""
    found = world.pick()
    name = world.chance.one(
        ("acquire", "wait", "get", "put", "join", "read", "readline", "drain", "wait_closed")
    )
    method = getattr(type(found), name, None)
    if method is not None:
        made = call(method, found, *(() if name != "put" else (value(),)))
        if hasattr(type(made), "__await__"):
            call(world.loops[0].create_task, made)


def _release() -> None:
    found = world.pick()
    name = world.chance.one(
        ("release", "set", "clear", "notify_all", "task_done", "abort", "notify", "shutdown")
    )
    method = getattr(type(found), name, None)
    if method is not None:
        call(method, found)


def _stream() -> None:
    chance = world.chance
    reader = call(_native.StreamReader, limit=chance.one((1, 10, 2**16)), loop=world.loops[0])
    if reader is None:
        return
    call(reader.set_transport, evil.Evil())
    call(reader.feed_data, data())
    read = chance.one(("read", "readline", "readexactly", "readuntil", "__anext__"))
    call(getattr(reader, read), *((number(),) if read == "readexactly" else ()))
    call(reader.feed_eof if chance.odds(0.3) else reader.at_eof)
    if chance.odds(0.4):
        call(_native.StreamReaderProtocol, reader, chance.one((None, wreck)), loop=world.loops[0])
        call(_native.StreamWriter, evil.Evil(), world.pick(), reader, world.loops[0])


def _executor() -> None:
    loop = current_loop()
    match world.chance.below(3):
        case 0:
            call(loop.run_in_executor, None, world.chance.one((len, int)), *arguments()[:1])
        case 1:
            call(_native.wrap_future, evil.EvilConcurrent(), loop=loop)
        case _:
            call(_native.run_coroutine_threadsafe, coroutine(), loop)


def _settle_concurrently() -> None:
    found = world.pick_a(evil.EvilConcurrent)
    if isinstance(found, evil.EvilConcurrent):
        call(world.chance.one((found.set_result, found.set_exception)), error())
        call(found.cancel)


def _hooks() -> None:
    loop = current_loop()
    chance = world.chance
    match chance.below(4):
        case 0:
            call(
                loop.set_task_factory,
                chance.one((None, None, wreck, lambda loop, *a, **k: _native.Task(*a, loop=loop))),
            )
        case 1:
            call(loop.set_exception_handler, chance.one((wreck, None, evil.Evil())))
        case 2:
            call(loop.set_debug, chance.odds(0.3))
        case _:
            call(
                loop.call_exception_handler,
                {"message": value(), "exception": error(), "future": world.pick()},
            )


def _nested_run() -> None:
    """Run a loop where one may run already, or where none may; the alarm ends what does not end."""
    loop = current_loop()
    call(loop.call_soon, loop.stop)
    call(loop.run_forever if world.chance.odds(0.5) else lambda: loop.run_until_complete(future()))


def _close_a_loop() -> None:
    """The second loop goes at any time, the first one once in a while; the next turn brings new ones."""
    loop = world.loops[1] if world.chance.odds(0.9) else world.loops[0]
    call(loop.close)


def _asynchronous_generator() -> None:
    async def iterating(iterator: Any) -> None:
        async for one in iterator:
            world.keep(one)
            react()

    call(world.loops[0].create_task, iterating(world.pick()))
    if world.chance.odds(0.1):
        call(world.loops[0].shutdown_asyncgens)


def _stock() -> None:
    """Ours among stock asyncio's, and the other way round."""
    chance = world.chance
    match chance.below(3):
        case 0:
            call(asyncio.tasks._PyTask, coroutine(), loop=world.loops[0])
        case 1:
            call(asyncio.futures._PyFuture, loop=world.loops[0])
        case _:
            call(asyncio.gather, future(), coroutine(), return_exceptions=True)


RECIPES: list[Callable[[], None]] = [
    *[_soon] * 4, *[_later] * 4, _threadsafe, *[_future] * 3, *[_task] * 3, *[_task_that_returns_a_handle] * 2,
    *[_await_it] * 3, *[_settle] * 4, *[_when_done] * 3, *[_cancel] * 3, *[_combine] * 4, *[_scope] * 2, _handle,
    *[_lock] * 2, *[_queue] * 2, *[_wait_for_a_lock] * 3, *[_release] * 2, *[_stream] * 2, _executor,
    _settle_concurrently, _hooks, _nested_run, _asynchronous_generator, _stock,
]  # fmt: skip
RARE_RECIPES: list[Callable[[], None]] = [_close_a_loop]
