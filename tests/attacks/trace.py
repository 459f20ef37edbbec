"""What was called, told before it happens: the last line of a crash is the call that did it."""

from pathlib import Path
from typing import Any


class Trace:
    """Writes a line for each call: how deep, what, and the classes of what it was given."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("wb", 0)  # noqa: SIM115

    def __call__(
        self, number: int, function: Any, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        from .world import world

        given = [_told(one) for one in arguments] + [
            f"{key}={_told(one)}" for key, one in named.items()
        ]
        line = f"{number:>8} {'  ' * world.depth}{_name(function)}({', '.join(given)})\n"
        self._file.write(line.encode("utf-8", "replace"))


def _name(function: Any) -> str:
    """Name a callable without asking an object that reacts to being asked."""
    kind = type(function)
    if kind.__name__ in ("builtin_function_or_method", "method-wrapper", "method"):
        owner = type(function.__self__).__name__
        return f"{owner}@{id(function.__self__):x}.{function.__name__}"
    if kind.__name__ in ("function", "method_descriptor", "wrapper_descriptor"):
        return function.__qualname__
    if isinstance(function, type):
        return type.__dict__["__name__"].__get__(function)
    return f"<{kind.__name__}>"


def _told(value: Any) -> str:
    kind = type(value)
    if kind in (int, float, bool, type(None)):
        return repr(value)
    if kind in (str, bytes):
        return f"{value[:20]!a}"
    return f"{kind.__name__}@{id(value):x}"
