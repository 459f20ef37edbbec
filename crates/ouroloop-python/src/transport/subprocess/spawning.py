"""Functions of ``asyncio/base_events.py`` from which ``Popen`` is called; by ``spawning.rs``."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def subprocess_exec(
    spawn: "Callable[..., Any]", program: "Any", keywords: "dict[str, Any]"
) -> "Any":
    """Spawn a program."""
    return spawn(program, **keywords)


def subprocess_shell(
    spawn: "Callable[..., Any]", command: "Any", keywords: "dict[str, Any]"
) -> "Any":
    """Spawn a shell."""
    return spawn(command, **keywords)
