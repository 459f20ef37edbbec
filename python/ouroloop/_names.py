"""The names of asyncio that have a native counterpart, each with its standard original.

Taken when ouroloop is imported, so that the originals are known whatever is replaced later.
"""

import asyncio
import asyncio.base_futures
import asyncio.threads
import sys
from typing import Any, NamedTuple

from ouroloop import _native

_REPLACED = {
    "base_futures": ["isfuture"],
    "futures": ["Future", "wrap_future"],
    "locks": ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore"],
    "queues": ["LifoQueue", "PriorityQueue", "Queue"],
    "streams": [
        *("StreamReader", "StreamReaderProtocol", "StreamWriter"),
        *("open_connection", "open_unix_connection", "start_server", "start_unix_server"),
    ],
    "taskgroups": ["TaskGroup"],
    "tasks": [
        *("Task", "as_completed", "create_task", "ensure_future", "gather"),
        *("run_coroutine_threadsafe", "shield", "sleep", "wait", "wait_for"),
    ],
    "threads": ["to_thread"],
    "timeouts": ["Timeout", "timeout", "timeout_at"],
}
"""What ``install`` replaces, by the submodule that defines it."""

_MADE_BY_LOOPS = {"base_events": ["Server"], "events": ["Handle", "TimerHandle"]}
"""What loops alone make. A stock loop needs its own classes under these names, so they stay in asyncio."""


class Pair(NamedTuple):
    """A name's two values."""

    name: str
    standard: Any
    native: Any


def _pairs(homes: dict[str, list[str]]) -> list[Pair]:
    """Return the pairs of this version of Python: not every version has every name."""
    return [
        Pair(name, standard, native)
        for home, names in homes.items()
        for name in names
        if (standard := getattr(sys.modules[f"asyncio.{home}"], name, None)) is not None
        and (native := getattr(_native, name, None)) is not None
    ]


REPLACED = _pairs(_REPLACED)
"""The names that ``install`` replaces."""

NATIVE = REPLACED + _pairs(_MADE_BY_LOOPS)
"""Every name of asyncio that the package ouroloop offers natively."""

for _pair in NATIVE:
    if isinstance(_pair.native, type):
        _native.adopt(_pair.native, _pair.standard)


def public_names() -> dict[str, Any]:
    """Return asyncio's public names, with the native values of those that have one."""
    # Up to 3.12 asyncio forgets TaskGroup in its own list.
    names = {name: getattr(asyncio, name) for name in (*asyncio.__all__, "TaskGroup")}
    return names | {pair.name: pair.native for pair in NATIVE}
