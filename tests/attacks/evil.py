"""Objects that react: to being compared, hashed, converted, iterated, awaited, looked into, and to their end."""

import asyncio
import concurrent.futures
import math
from typing import Any

from .world import react, react_quietly, world

NUMBERS = (
    0, 0, 1, 1, 2, -1, 3, 10, 64, 100, 2**16, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64,
    -(2**63), 2**200, -(2**200), True, False,
)  # fmt: skip
FLOATS = (0.0, 0.0, 1e-9, 0.0005, 0.001, -1.0, 1e9, 1e308, math.inf, -math.inf, math.nan)
ODD = (None, NotImplemented, "text", b"", 1.5, (), 2**70, object)


def _answers(name: str, *right: Any) -> Any:
    def method(self: Any, *_: Any, **__: Any) -> Any:
        react()
        chance = world.chance
        if chance.odds(0.1):
            return chance.one(ODD)
        if chance.odds(0.2):
            return world.pick()
        return chance.one(right) if right else self

    method.__name__ = name
    return method


def _finalizer(self: Any) -> None:
    if world.chance.odds(0.1):
        world.keep(self)
    react_quietly()


def _look_up(self: Any, name: str) -> Any:
    react(0.05)
    chance = world.chance
    if name.startswith("__") or chance.odds(0.4):
        raise AttributeError(name)
    return chance.one((None, True, 0, self, world.pick(), react, "text", Evil()))


def _iterate(self: Any) -> Any:
    react()
    for _ in range(world.chance.below(4)):
        yield world.chance.one((None, world.pick(), 1, b"data"))
        react()


def _hash(self: Any) -> int:
    react(0.1)
    return id(self) if world.chance.odds(0.9) else world.chance.below(3)


def _equal(self: Any, other: Any) -> Any:
    react()
    return world.chance.one((self is other, self is other, True, False, NotImplemented, None))


_BODY: dict[str, Any] = {
    "__eq__": _equal,
    "__hash__": _hash,
    "__del__": _finalizer,
    "__getattr__": _look_up,
    "__iter__": _iterate,
    "__await__": _iterate,
    "__bool__": _answers("__bool__", True, False),
    "__index__": _answers("__index__", *NUMBERS),
    "__int__": _answers("__int__", *NUMBERS),
    "__len__": _answers("__len__", 0, 1, 5, 2**62, -1),
    "__float__": _answers("__float__", *FLOATS),
    "__str__": _answers("__str__", "name", "", "\ud800"),
    "__repr__": _answers("__repr__", "<evil>"),
    "__format__": _answers("__format__", "evil"),
    "__call__": _answers("__call__", None, None, 1),
    "__next__": _answers("__next__"),
    "send": _answers("send", None),
    "throw": _answers("throw", None),
    "close": _answers("close", None),
    "fileno": _answers("fileno", -1, 0, 10**6, 2**31 - 1, 2**40),
    "__set_name__": _answers("__set_name__", None),
    "__get__": _answers("__get__"),
    "__bytes__": _answers("__bytes__", b"bytes"),
    "__getitem__": _answers("__getitem__", 1, b""),
    "__fspath__": _answers("__fspath__", "/nowhere"),
    "__enter__": _answers("__enter__"),
    "__exit__": _answers("__exit__", None, True),
    "__aenter__": _answers("__aenter__"),
    "__anext__": _answers("__anext__"),
    "__instancecheck__": _answers("__instancecheck__", True, False),
} | {
    f"__{name}__": _answers(f"__{name}__", True, False, NotImplemented)
    for name in ("lt", "le", "gt", "ge", "ne")
} | {
    f"__{side}{name}__": _answers(f"__{side}{name}__", 0, 1.0, -1)
    for name in ("add", "sub", "mul", "truediv")
    for side in ("", "r")
}  # fmt: skip

Evil: Any = type("Evil", (), dict(_BODY))
SlottedEvil: Any = type("SlottedEvil", (), {**_BODY, "__slots__": ()})
"""Its memory is the smallest there is: what is freed twice is handed out twice soon."""


class Finalized:
    """Nothing but a finalizer, and whom it keeps."""

    def __init__(self, *kept: Any) -> None:
        self.kept = kept

    __del__ = _finalizer


class Masked:
    """Says that it is of another class."""

    @property
    def __class__(self) -> Any:
        react(0.2)
        return world.chance.one((asyncio.Future, asyncio.Task, type(world.pick()), int, type(None)))

    def __getattribute__(self, name: str) -> Any:
        react(0.1)
        return object.__getattribute__(self, name)


class EvilError(Exception):
    """An exception with a finalizer."""

    __del__ = _finalizer


class EvilCancelled(asyncio.CancelledError):
    """A cancellation with a finalizer."""

    __del__ = _finalizer


class EvilConcurrent(concurrent.futures.Future):  # type: ignore[type-arg]
    """A future of a thread pool whose methods react."""

    def cancel(self) -> bool:
        react(0.3)
        return super().cancel()

    def set_running_or_notify_cancel(self) -> bool:
        react(0.3)
        return super().set_running_or_notify_cancel()

    __del__ = _finalizer


def _evil_subclass(base: Any, *names: str) -> Any:
    body: dict[str, Any] = {"__del__": _finalizer}
    for name in names:
        original = getattr(base, name)

        def method(self: Any, *arguments: Any, _original: Any = original) -> Any:
            react(0.2)
            return _original(self, *arguments)

        body[name] = method
    return type(f"Evil{base.__name__.title()}", (base,), body)


EvilText = _evil_subclass(str, "__eq__", "__hash__", "__str__", "__len__", "__format__")
EvilBytes = _evil_subclass(bytes, "__len__", "__getitem__", "__eq__", "__hash__")
EvilInt = _evil_subclass(int, "__index__", "__lt__", "__gt__", "__bool__", "__eq__", "__hash__")
EvilFloat = _evil_subclass(float, "__float__", "__lt__", "__add__", "__eq__", "__hash__")
EvilTuple = _evil_subclass(tuple, "__len__", "__iter__", "__getitem__")
EvilList = _evil_subclass(list, "__len__", "__iter__", "__getitem__")
EvilDict = _evil_subclass(dict, "__getitem__", "__contains__", "keys")
EvilByteArray = _evil_subclass(bytearray, "__len__", "__getitem__")
