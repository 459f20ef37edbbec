"""The loop class that programs see, the factory that makes one, and who gets which."""

import asyncio
import sys
import threading
import warnings
from typing import Any

from ouroloop import _native


# The abstract class still lists `reuse_address` for datagrams, which no loop has taken since 3.11.
class Loop(_native.Loop, asyncio.AbstractEventLoop):  # type: ignore[misc]
    """An event loop implemented in Rust.

    ``multiplexer`` names what it waits for descriptors by, one of the mechanisms that this system has:
    ``"epoll"``, ``"kqueue"``, ``"poll"``, ``"select"``, or ``"auto"`` for the fastest. Without it the
    environment variable ``OUROLOOP_MULTIPLEXER`` counts, then ``"auto"``; the attribute of the same name
    tells what it came to. Raises ``ValueError`` for any other name.

    Being an ``asyncio.AbstractEventLoop`` in earnest, it passes ``isinstance`` and ``issubclass``
    checks.
    """


def new_event_loop(*, multiplexer: str | None = None) -> Loop:
    """Return a new native event loop, open and not running.

    It needs no arguments, so it serves as a ``loop_factory`` and as uvicorn's ``--loop
    ouroloop:new_event_loop``. ``multiplexer`` is ``Loop``'s. The caller closes the loop.
    """
    return Loop(multiplexer=multiplexer)


def get_event_loop() -> asyncio.AbstractEventLoop:
    """Return the running loop or, when none runs, the thread's current one, as ``asyncio`` does.

    Where asyncio would make the main thread's first loop (up to Python 3.13), it makes a native one.
    """
    if sys.version_info < (3, 14) and asyncio._get_running_loop() is None:
        policy: Any = asyncio.get_event_loop_policy()
        if (
            type(policy).get_event_loop is asyncio.DefaultEventLoopPolicy.get_event_loop
            and policy._local._loop is None
            and not policy._local._set_called
            and threading.current_thread() is threading.main_thread()
        ):
            if sys.version_info >= (3, 12):
                message = "There is no current event loop"
                warnings.warn(message, DeprecationWarning, stacklevel=2)
            policy.set_event_loop(new_event_loop())
    return asyncio.get_event_loop()
