"""The table of operations: each names its arguments' kinds beside what it does with them.

A step of a program is ``[operation, argument, ...]``. The kinds are strings, which ``generate.py`` maps to what
it draws from, so that a process that only runs programs need not know how they are made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Act = Callable[..., Any]


@dataclass(frozen=True)
class Operation:
    """One operation of the little language."""

    topic: str
    """Programs are drawn from a few topics each, so that their steps meet."""
    waits: bool
    """Whether ``act`` is a coroutine function: such a step is for coroutines only, not for callbacks."""
    kinds: tuple[str, ...]
    act: Act


OPERATIONS: dict[str, Operation] = {}


def act(topic: str, *kinds: str) -> Callable[[Act], Act]:
    """Add a function as the operation of its name, for coroutines and callbacks alike."""
    return _adder(topic, kinds, waits=False)


def wait(topic: str, *kinds: str) -> Callable[[Act], Act]:
    """Add a coroutine function as the operation of its name."""
    return _adder(topic, kinds, waits=True)


def _adder(topic: str, kinds: tuple[str, ...], *, waits: bool) -> Callable[[Act], Act]:
    def add(function: Act) -> Act:
        name = function.__name__.rstrip("_")
        assert name not in OPERATIONS, name
        OPERATIONS[name] = Operation(topic, waits, kinds, function)
        return function

    return add
