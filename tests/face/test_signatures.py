"""What ``inspect.signature`` and ``help`` say of native objects is what they say of asyncio's."""

import asyncio
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import ouroloop
import pytest

MADE_BY_LOOPS = {"Server"}
"""Nobody calls these classes by hand."""

Parameter = tuple[str, Any, Any]

ANY_NAME = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def parameters(function: Any) -> list[Parameter] | None:
    """Name, kind and default of each; ``self`` by position alone is as good as by name."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return None
    found = list(signature.parameters.values())
    if found and found[0].name == "self":
        found = found[1:]
    return [("" if it.kind in ANY_NAME else it.name, it.kind, it.default) for it in found]


def pairs() -> Iterator[tuple[str, Any, Any]]:
    """Whatever of asyncio's can be called and has a native counterpart."""
    for name in sorted(asyncio.__all__):
        standard, native = getattr(asyncio, name), getattr(ouroloop, name)
        if standard is native or not callable(standard):
            continue
        if name in {"EventLoop", "new_event_loop"}:
            continue  # ours can be told by which multiplexer to wait
        if not isinstance(standard, type):
            yield name, standard, native
            continue
        if name not in MADE_BY_LOOPS:
            yield name, standard, native
        yield from methods(name, standard, native)
    yield from methods("Loop", asyncio.SelectorEventLoop, ouroloop.Loop)


def methods(name: str, standard: type, native: type) -> Iterator[tuple[str, Any, Any]]:
    """All public ones."""
    for method in dir(standard):
        function = getattr(standard, method)
        if callable(function) and not method.startswith("_"):
            yield f"{name}.{method}", function, getattr(native, method)


PAIRS = {name: (standard, native) for name, standard, native in pairs()}


@pytest.mark.parametrize("name", PAIRS)
def test_same_as_asyncio(name: str) -> None:
    standard, native = PAIRS[name]
    expected = parameters(standard)
    if expected is None:
        pytest.skip("asyncio does not tell")
    ours = parameters(native) or []
    assert ours[: len(expected)] == expected
    # What a later version has brought may be there already, for who asks for it by name. A wheel shows the
    # keywords that patch releases of its version have come to take.
    allowed = {inspect.Parameter.KEYWORD_ONLY}
    if name == "Loop.create_task" and sys.version_info[:2] == (3, 13):
        allowed.add(inspect.Parameter.VAR_KEYWORD)
    assert {kind for _, kind, _ in ours[len(expected) :]} <= allowed
