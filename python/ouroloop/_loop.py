"""The loop class that programs see, and the factory that makes one."""

import asyncio

from ouroloop import _native


class Loop(_native.Loop, asyncio.AbstractEventLoop):
    """An event loop implemented in Rust.

    Takes no arguments. Being an ``asyncio.AbstractEventLoop`` in earnest, it passes ``isinstance`` and
    ``issubclass`` checks, and a method that the native class does not have raises that class's
    ``NotImplementedError``.
    """


def new_event_loop() -> Loop:
    """Return a new native event loop, open and not running.

    It takes no arguments, so it serves as a ``loop_factory`` and as uvicorn's ``--loop
    ouroloop:new_event_loop``. The caller closes the loop.
    """
    # Abstract to a type checker alone: what is missing raises NotImplementedError when called.
    return Loop()  # type: ignore[abstract]
