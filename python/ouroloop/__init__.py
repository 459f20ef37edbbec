"""Ouroloop: Python's asyncio implemented in Rust.

Four ways in, from the least intrusive to the most:

* ``asyncio.run(main(), loop_factory=ouroloop.new_event_loop)`` names the loop where asyncio asks for it.
* ``ouroloop.run(main())`` runs one coroutine on a native loop, as ``asyncio.run`` does.
* ``import ouroloop as asyncio``: this package has all of asyncio's public names, native where there
  is a native counterpart, the standard library's own elsewhere.
* ``ouroloop.install()`` makes asyncio itself native, for every module, until ``ouroloop.uninstall()``.

``python -m ouroloop program.py`` runs a program that was never changed.
"""

import asyncio
import sys
from typing import TYPE_CHECKING

from ouroloop._install import install as install
from ouroloop._install import uninstall as uninstall
from ouroloop._loop import Loop as Loop
from ouroloop._loop import get_event_loop as get_event_loop
from ouroloop._loop import new_event_loop as new_event_loop
from ouroloop._names import public_names
from ouroloop._native import tls_engine as tls_engine
from ouroloop._run import Runner as Runner
from ouroloop._run import run as run
from ouroloop._tasks import record_native_waiters, show_native_tasks

EventLoop = Loop

if sys.version_info < (3, 16):
    from ouroloop._policy import EventLoopPolicy as EventLoopPolicy
if sys.version_info < (3, 14):
    DefaultEventLoopPolicy = EventLoopPolicy

if TYPE_CHECKING:
    # To a type checker asyncio's names are asyncio's own, here as there: code may mix both packages. What
    # is defined above stays as it is, which it reports. There is no __all__ for it to read: a
    # computed one would tell it half the truth.
    from asyncio import *  # type: ignore[assignment]  # noqa: F403
    from asyncio import TaskGroup as TaskGroup
    from asyncio import events as events
    from asyncio import exceptions as exceptions
    from asyncio import subprocess as subprocess
else:
    _public = public_names()
    globals().update(_public | globals())
    _own = {
        "EventLoop",
        "EventLoopPolicy",
        "Loop",
        "__version__",
        "install",
        "tls_engine",
        "uninstall",
    }
    __all__ = sorted(_own | _public.keys())  # noqa: PLE0605

show_native_tasks()
record_native_waiters()

__version__: str


def __getattr__(name: str) -> object:
    """Answer ``__version__``, and what else asyncio has: its submodules, its deprecated names."""
    if name == "__version__":
        # Read when first asked for: the metadata costs more than the rest of the import together.
        from importlib.metadata import version

        globals()[name] = answer = version("ouroloop")
        return answer
    try:
        if not name.startswith("__"):
            return getattr(asyncio, name)
    except AttributeError:
        pass
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(globals().keys() | {name for name in dir(asyncio) if not name.startswith("_")})
