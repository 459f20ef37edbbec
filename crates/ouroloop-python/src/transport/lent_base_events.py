"""A function of ``asyncio/base_events.py`` that lends its frame; ``lent_frame.rs`` calls it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def create_datagram_endpoint(function: "Callable[[Any], Any]", path: "Any") -> "Any":
    """Look whether an old socket is in the new one's place, or remove it."""
    return function(path)
