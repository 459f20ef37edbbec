"""``ouroloop.run`` and ``ouroloop.Runner``: asyncio's, on a native loop unless another one is named."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ouroloop._loop import new_event_loop

T = TypeVar("T")

_LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class Runner(asyncio.Runner):  # type: ignore[misc]  # final for its type alone
    """``asyncio.Runner`` whose loop is native unless ``loop_factory`` says otherwise.

    As in asyncio, a loop that the runner chose by itself is also the thread's current one
    (``get_event_loop``) until the runner is closed; one from a ``loop_factory`` is not.
    """

    def __init__(
        self, *, debug: bool | None = None, loop_factory: _LoopFactory | None = None
    ) -> None:
        super().__init__(debug=debug, loop_factory=loop_factory or new_event_loop)
        self._chooses_loop = loop_factory is None

    def _lazy_init(self) -> None:
        runner: Any = super()
        runner._lazy_init()
        if self._chooses_loop:
            self._chooses_loop = False
            asyncio.set_event_loop(self.get_loop())
            # Its close() undoes it.
            self._set_event_loop = True


def run(
    main: Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
    loop_factory: _LoopFactory | None = None,
) -> T:
    """Run ``main`` on a new native loop and return its result.

    Everything else is ``asyncio.run`` of the running Python: on the way out tasks are cancelled,
    asynchronous generators and the default executor shut down, the loop closed; Ctrl-C cancels
    ``main`` and raises ``KeyboardInterrupt``.

    ``debug`` switches the loop's debug mode on or off; ``None`` leaves it to ``PYTHONASYNCIODEBUG``.
    ``loop_factory`` makes another loop than the native one (Python 3.11's own ``run`` has no such
    parameter).

    Raises ``RuntimeError`` while a loop runs in this thread, and what ``main`` raises.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)
