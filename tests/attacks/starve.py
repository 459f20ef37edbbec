"""Calls in which an allocation fails: the first, the tenth, one or all from there on."""

import _testcapi
from typing import Any

from .world import DEEPEST, world

FURTHEST = 60


def starved(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Call, and have an allocation fail meanwhile. Nothing evil happens until it is over."""
    if world.depth or not world.chance.odds(0.5):
        return function(*arguments, **named)
    first = 1 + world.chance.below(FURTHEST)
    last = world.chance.one((first + 1, first + 3, 0))
    world.depth = DEEPEST
    _testcapi.set_nomemory(first, last)
    try:
        return function(*arguments, **named)
    finally:
        _testcapi.remove_mem_hooks()
        world.depth = 0
