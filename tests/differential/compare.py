"""Runs a program on both sides and tells where they part."""

import asyncio
import random

import ouroloop

from .difference import Difference, Trace, difference
from .execute import Program, execute
from .world import Frame

RERUNS = 12


def on_stock(program: Program) -> Trace:
    """Return the trace of stock asyncio."""
    ouroloop.uninstall()
    return execute(program)


def on_ouroloop(program: Program) -> Trace:
    """Return the trace of asyncio with Ouroloop installed."""
    ouroloop.install()
    try:
        return execute(program)
    finally:
        ouroloop.uninstall()


def compare(program: Program) -> Difference | None:
    """Run ``program`` on both sides in this process."""
    stock = on_stock(program)
    found = difference(program, stock, on_ouroloop(program))
    if found is None or is_left_to_chance(program, stock):
        return None
    if found.in_reports and on_ouroloop(program) == stock:
        return None
    return found


def is_left_to_chance(program: Program, trace: Trace) -> bool:
    """Whether stock asyncio itself gives other traces of ``program``, depending on the addresses of objects.

    asyncio iterates over sets of tasks: a task group that cancels its children, ``as_completed``.
    """
    for seed in range(RERUNS):
        kept = stir(seed)
        if on_stock(program) != trace:
            return True
        del kept
    return False


def stir(seed: int) -> list[object]:
    """Return objects that leave holes in memory, so that the next ones come to lie elsewhere."""
    chance = random.Random(seed)
    loop = asyncio.new_event_loop()
    made: list[object] = []
    for number in range(600):
        made += [loop.create_future(), tuple(range(number % 20)), bytearray(100)]
        # The frame of a coroutine lies within it.
        coroutine = Frame.run(None, [])  # type: ignore[arg-type]
        coroutine.close()
        made.append(coroutine)
    loop.close()
    chance.shuffle(made)
    return made[: len(made) // 2]
