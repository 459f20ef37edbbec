"""Queues: bounded and not, by priority, newest first, and of a class of the program's own."""

from typing import Any

from ..registry import act, wait
from ..world import Frame


@wait("queue", "index", "few")
async def put(frame: Frame, index: int, item: int) -> Any:
    return await frame.world.thing("queue", index).put(item)


@wait("queue", "index")
async def get(frame: Frame, index: int) -> Any:
    return await frame.world.thing("queue", index).get()


@act("queue", "index", "few")
def put_nowait(frame: Frame, index: int, item: int) -> Any:
    return frame.world.thing("queue", index).put_nowait(item)


@act("queue", "index")
def get_nowait(frame: Frame, index: int) -> Any:
    return frame.world.thing("queue", index).get_nowait()


@wait("queue", "index")
async def join(frame: Frame, index: int) -> Any:
    return await frame.world.thing("queue", index).join()


@act("queue", "index")
def task_done(frame: Frame, index: int) -> Any:
    return frame.world.thing("queue", index).task_done()


@act("queue", "index", "yesno")
def shutdown(frame: Frame, index: int, immediate: bool) -> Any:
    queue = frame.world.thing("queue", index)
    return queue.shutdown(immediate) if hasattr(queue, "shutdown") else "not yet"


@act("queue", "index")
def look_at_queue(frame: Frame, index: int) -> Any:
    queue = frame.world.thing("queue", index)
    return [queue.qsize(), queue.empty(), queue.full(), queue.maxsize, repr(queue), str(queue)]
