"""Names replaced in the modules that are imported: in asyncio itself and in whoever took them from it.

``from asyncio import sleep`` binds the function itself in the module that says so. To replace
``asyncio.sleep`` reaches that module only if its own name is replaced too, so every module's
namespace is looked through for the standard objects, and on the way back for the native ones.

Left alone are ouroloop's own modules, which need both; ``_asyncio``, which is the C implementation by
definition; and asyncio's private names such as ``_CTask``, by which the library tells its
implementations apart. What hides in a class body, a default argument or a container is not found.
"""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from ouroloop._names import REPLACED

Namespace = dict[str, Any]

_native_of = {id(pair.standard): pair.native for pair in REPLACED}
_standard_of = {id(pair.native): pair.standard for pair in REPLACED}
_public = {pair.name for pair in REPLACED}

_replaced: list[tuple[Namespace, str]] = []
"""Where ``use_native`` put a native object: a module may leave ``sys.modules`` in the meantime."""

_native_before: list[tuple[Namespace, str]] = []
"""Where there was one before (``from ouroloop import Task``)."""


def use_native() -> None:
    """Replace the standard objects by the native ones in every imported module."""
    for namespace, public_only in _namespaces():
        for name, value in list(namespace.items()):
            if id(value) in _standard_of:
                _native_before.append((namespace, name))
            elif id(value) in _native_of and (name in _public or not public_only):
                namespace[name] = _native_of[id(value)]
                _replaced.append((namespace, name))


def use_standard() -> None:
    """Replace the native objects by the standard ones, also where a later import brought them."""
    spared = {(id(namespace), name) for namespace, name in _native_before}
    for namespace, _ in _namespaces():
        for name, value in list(namespace.items()):
            if id(value) in _standard_of and (id(namespace), name) not in spared:
                namespace[name] = _standard_of[id(value)]
    for namespace, name in _replaced:
        value = namespace.get(name)
        if id(value) in _standard_of:
            namespace[name] = _standard_of[id(value)]
    _replaced.clear()
    _native_before.clear()


def _namespaces() -> Iterator[tuple[Namespace, bool]]:
    """Each module's namespace, and whether its public names alone are concerned."""
    for full_name, module in list(sys.modules.items()):
        package = full_name.partition(".")[0]
        # type() and object.__getattribute__: a module that loads itself when touched stays asleep.
        if package not in ("ouroloop", "_asyncio") and issubclass(type(module), ModuleType):
            namespace = object.__getattribute__(module, "__dict__")
            yield namespace, package == "asyncio"
