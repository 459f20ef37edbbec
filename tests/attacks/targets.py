"""What is attacked: found by looking at the module, so that a new class or function is attacked the day it is there."""

import contextlib
import types
from typing import Any

from ouroloop import _native

from .world import react, react_quietly, world

CLASSES: list[type] = [value for value in vars(_native).values() if isinstance(value, type)]
FUNCTIONS: list[Any] = [
    value for value in vars(_native).values() if isinstance(value, types.BuiltinFunctionType)
]

SPARED = frozenset({
    # They block, or leave this process: the recipes have them where they end.
    "run_forever", "run_until_complete", "subprocess_exec", "subprocess_shell", "getaddrinfo",
    "getnameinfo", "add_signal_handler", "print_stack", "_sock_sendfile_native", "create_connection",
    "create_datagram_endpoint", "create_server", "create_unix_server", "create_unix_connection",
    "open_connection", "start_server", "open_unix_connection", "start_unix_server",
    # Signals to numbers that may be any process's by then.
    "kill", "terminate", "send_signal",
    # Of the class, not of its objects.
    "mro", "register", "__subclasses__", "__init_subclass__", "__subclasshook__", "__new__", "__class__",
})  # fmt: skip

FUNCTIONS = [function for function in FUNCTIONS if function.__name__ not in SPARED]

_names: dict[type, list[str]] = {}


def names_of(kind: type) -> list[str]:
    """Return the attributes of a class's objects that may be used blindly; those written for it come thrice."""
    found = _names.get(kind)
    if found is None:
        if len(_names) > 1000:
            _names.clear()
        names = [name for name in dir(kind) if name not in SPARED]
        plain = [name for name in names if not name.startswith("__")]
        found = _names[kind] = names + plain + plain or ["__hash__"]
    return found


_subclasses: list[type] = []


def subclass() -> type:
    """Return a subclass of a native class, of those there are or a new one."""
    chance = world.chance
    if _subclasses and chance.odds(0.9):
        return chance.one(_subclasses)
    base = chance.one(CLASSES)
    body: dict[str, Any] = {}
    if chance.odds(0.4):
        body["__slots__"] = chance.one(((), ("more",), ("__dict__",)))
    if chance.odds(0.4):
        body["__del__"] = lambda self: react_quietly()
    for _ in range(chance.below(3)):
        name = chance.one(names_of(base))
        if name.startswith("__") and name not in ("__eq__", "__hash__", "__getattribute__"):
            continue
        body[name] = _overridden(base, name)
    if chance.odds(0.1):
        body["watched"] = _Named()
    try:
        made = type(f"Sub{base.__name__}", (base,), body)
    except TypeError:
        made = base
    if len(_subclasses) < 60:
        _subclasses.append(made)
    else:
        _subclasses[chance.below(60)] = made
    return made


def any_class() -> type:
    return subclass() if world.chance.odds(0.4) else world.chance.one(CLASSES)


class _Named:
    def __set_name__(self, owner: type, name: str) -> None:
        react(0.3)
        with contextlib.suppress(TypeError):
            world.keep(owner.__new__(owner))


def _overridden(base: type, name: str) -> Any:
    original = getattr(base, name)

    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        react(0.3)
        if callable(original) and world.chance.odds(0.8):
            return original(self, *arguments, **named)
        return world.pick()

    return method
