"""Ouroloop: Python's asyncio on an event loop implemented in Rust.

Three ways in, from the least intrusive to the most:

* ``ouroloop.run(main())`` runs one coroutine, as ``asyncio.run`` does.
* ``asyncio.run(main(), loop_factory=ouroloop.new_event_loop)`` names the loop where asyncio asks for it.
* ``ouroloop.install()`` makes asyncio itself give native loops, until ``ouroloop.uninstall()``.

``python -m ouroloop program.py`` runs a program that was never changed.
"""

import sys

from ouroloop._install import install, uninstall
from ouroloop._loop import Loop, new_event_loop
from ouroloop._native import Future, Handle, Server, Task, TimerHandle
from ouroloop._run import run
from ouroloop._tasks import show_native_tasks

__all__ = [
    "Future",
    "Handle",
    "Loop",
    "Server",
    "Task",
    "TimerHandle",
    "__version__",
    "install",
    "new_event_loop",
    "run",
    "uninstall",
]

if sys.version_info < (3, 16):
    from ouroloop._policy import EventLoopPolicy

    __all__ += ["EventLoopPolicy"]

show_native_tasks()

__version__: str


def __getattr__(name: str) -> str:
    """Answer ``__version__`` from the installed package's metadata, read when first asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Reading the metadata costs more than the rest of the import together.
    from importlib.metadata import version

    globals()[name] = answer = version("ouroloop")
    return answer
