"""The event loop policy, for programs that still choose their loop by one (Python 3.11 to 3.15)."""

# The public names of this class warn on 3.14 and later; this one is there, silent, on all five versions.
from asyncio.unix_events import _UnixDefaultEventLoopPolicy

from ouroloop._loop import Loop


class EventLoopPolicy(_UnixDefaultEventLoopPolicy):
    """asyncio's default policy, with native loops.

    ``asyncio.set_event_loop_policy(ouroloop.EventLoopPolicy())`` does what ``ouroloop.install()``
    does, as far as a policy reaches. Python 3.14 deprecated policies: prefer ``install()`` or a
    ``loop_factory``.
    """

    _loop_factory = Loop
