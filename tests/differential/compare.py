"""Runs a program on both sides and tells where they part."""

import ouroloop

from .chance import RERUNS, stir
from .difference import Difference, Trace, difference
from .execute import Program, execute


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
