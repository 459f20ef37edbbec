"""Functions of ``asyncio/unix_events.py`` that lend their frames; ``lent_frame.rs`` calls them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def create_unix_server(function: "Callable[[Any], Any]", path: "Any") -> "Any":
    """Look whether an old socket is in the new one's place, or remove it."""
    return function(path)


def _stop_serving(function: "Callable[[Any], Any]", path: "Any") -> "Any":
    """Look at, or remove, what a server leaves behind."""
    return function(path)
