"""``ouroloop.run``: one coroutine from start to end on a native loop."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from ouroloop._loop import new_event_loop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run ``main`` on a new native loop and return its result.

    Everything else is ``asyncio.run`` of the running Python: on the way out tasks are cancelled,
    asynchronous generators and the default executor shut down, the loop closed; Ctrl-C cancels
    ``main`` and raises ``KeyboardInterrupt``.

    ``debug`` switches the loop's debug mode on or off; ``None`` leaves it to ``PYTHONASYNCIODEBUG``.

    Raises ``RuntimeError`` while a loop runs in this thread, and what ``main`` raises.
    """
    if sys.version_info >= (3, 12):
        return asyncio.run(main, debug=debug, loop_factory=new_event_loop)
    # 3.11 has the runner's loop_factory, but no such parameter of asyncio.run.
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)
