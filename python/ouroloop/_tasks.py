"""Make the standard module see native tasks, whether or not anything is installed.

asyncio keeps the tasks that are not its own in a weak set, which ``all_tasks`` iterates over. Giving
that one set a class that also iterates over the live native tasks makes them visible everywhere, also
to code that imported ``all_tasks`` earlier, and spares each task its entry in the set.

From Python 3.14 on, asyncio's own ``gather``, ``wait`` and ``TaskGroup`` record who awaits what, for call
graphs, by two functions that know futures of the standard classes alone. Ours take their place and
pass on what is not native.
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


_RECORDERS = ("future_add_to_awaited_by", "future_discard_from_awaited_by")


def record_native_waiters() -> None:
    """Put the functions that know native futures in the place of the standard ones."""
    futures: Any = asyncio.futures
    for name in _RECORDERS:
        if hasattr(futures, f"_c_{name}"):
            native = getattr(_native, name)
            for namespace, alias in ((asyncio, name), (futures, name), (futures, f"_c_{name}")):
                setattr(namespace, alias, native)
