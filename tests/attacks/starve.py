"""Calls in which an allocation fails, or some in a row: the first, the tenth, any.

An end there must be: without memory for good the interpreter itself crashes (of a warning about a socket that was not
closed, of a Python function with cells). `tests/memory/sweep.py` has calls that run no Python code go without.
"""

import _testcapi
import warnings
from typing import Any

from .world import DEEPEST, world

FURTHEST = 60


def _say_nothing(coroutine: object) -> None:
    """Stand in for the interpreter's warning, which takes a file's name that it has no memory for as one."""


warnings._warn_unawaited_coroutine = _say_nothing  # type: ignore[attr-defined]


def starved(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Call, and have an allocation fail meanwhile. Nothing evil happens until it is over."""
    if world.depth or not world.chance.odds(0.5):
        return function(*arguments, **named)
    first = 1 + world.chance.below(FURTHEST)
    last = first + world.chance.one((1, 2, 3))
    world.depth = DEEPEST
    _testcapi.set_nomemory(first, last)
    try:
        return function(*arguments, **named)
    finally:
        _testcapi.remove_mem_hooks()
        world.depth = 0
