"""Make the standard module's ``all_tasks`` see native tasks.

asyncio keeps the tasks that are not its own in a weak set, which ``all_tasks`` iterates over. Giving
that one set a class that also iterates over the live native tasks makes them visible everywhere, also
to code that imported ``all_tasks`` earlier, and spares each task its entry in the set.
"""

import asyncio.tasks
import gc
import sys
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from ouroloop import _native


class _AllTasks(WeakSet["asyncio.Task[Any]"]):
    """The standard weak set of tasks, and every live native task with it."""

    def __iter__(self) -> Iterator["asyncio.Task[Any]"]:
        yield from super().__iter__()
        yield from _native.live_tasks()


def _registries() -> list[Any]:
    """Return the weak sets over which ``all_tasks`` iterates in this version of Python."""
    standard: Any = asyncio.tasks
    if sys.version_info < (3, 12):
        return [standard._all_tasks]
    registries = [standard._scheduled_tasks]
    if sys.version_info >= (3, 14):
        import _asyncio

        # The C function has a set of its own, which no name leads to.
        registries += [found for found in gc.get_referents(_asyncio) if type(found) is WeakSet]
    return registries


def show_native_tasks() -> None:
    """Give the standard registries the class that knows native tasks; further calls do nothing."""
    for registry in _registries():
        if type(registry) is WeakSet:
            registry.__class__ = _AllTasks
