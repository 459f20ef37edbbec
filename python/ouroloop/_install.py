"""``install`` and ``uninstall``: asyncio itself gives native loops, tasks, locks, queues.

**Loops.** Everything by which asyncio makes a loop when the program names none ends at one attribute: the
``_loop_factory`` of the default policy's class. ``asyncio.run``, ``Runner``, ``new_event_loop`` and
``policy.new_event_loop`` look it up when called, so to replace it there also reaches a module that took
one of these names from asyncio before. Beside it stands ``asyncio.EventLoop`` (3.13), by
definition the best loop for the platform.

What a program chooses by itself stays its own: ``asyncio.SelectorEventLoop()``, a ``loop_factory``, a policy
that it sets after ``install``.

**Everything else** (``Task``, ``Lock``, ``gather``, …) is replaced by name: see ``_namespaces``. The native
objects work on every loop, and a stock loop makes native tasks and futures from then on.
"""

import asyncio
import asyncio.events
import asyncio.unix_events
import threading
from typing import Any

from ouroloop import _namespaces
from ouroloop._loop import Loop

_DefaultPolicy: Any = asyncio.unix_events._UnixDefaultEventLoopPolicy
_events: Any = asyncio.events

_replaced: list[tuple[Any, str, object]] = []
"""Where ``install`` put the native loop: owner, attribute, the value that ``uninstall`` puts back."""

_displaced_policy: object = None
"""A policy with a loop of its own that was in force when ``install`` was called."""

_one_at_a_time = threading.Lock()


def install() -> None:
    """Make asyncio give native objects: loops where the program names none itself, and all the rest.

    Modules that are already imported get the native objects for the names that they took from asyncio.
    Objects that were made before stay what they are and go on working.

    To call it again changes nothing, with one exception: a foreign policy that is in force (another
    loop's) is set aside; one that is set later wins.

    Raises ``RuntimeError`` while a loop runs in this thread.
    """
    global _displaced_policy
    _refuse_beside_running_loop("install")
    with _one_at_a_time:
        if not _replaced:
            _replace(_DefaultPolicy, "_loop_factory")
            for namespace in (asyncio, asyncio.unix_events):
                if hasattr(namespace, "EventLoop"):
                    _replace(namespace, "EventLoop")
            _namespaces.use_native()
        if not _gives_native_loops(_events._event_loop_policy):
            _displaced_policy = _events._event_loop_policy
            _events._event_loop_policy = None


def uninstall() -> None:
    """Undo ``install``: asyncio gives again what it gave before, to modules imported since then too.

    Without a preceding ``install`` it does nothing. Loops and other objects that were made stay what
    they are.

    Raises ``RuntimeError`` while a loop runs in this thread.
    """
    global _displaced_policy
    _refuse_beside_running_loop("uninstall")
    with _one_at_a_time:
        if not _replaced:
            return
        if _displaced_policy is not None and _gives_native_loops(_events._event_loop_policy):
            _events._event_loop_policy = _displaced_policy
        _displaced_policy = None
        _namespaces.use_standard()
        while _replaced:
            owner, name, before = _replaced.pop()
            setattr(owner, name, before)


def _replace(owner: Any, name: str) -> None:
    _replaced.append((owner, name, vars(owner)[name]))
    setattr(owner, name, Loop)


def _gives_native_loops(policy: Any) -> bool:
    """Whether ``policy`` is the default one, untouched in what makes its loops (``None``: not made yet)."""
    return policy is None or (
        type(policy).new_event_loop is _DefaultPolicy.new_event_loop
        and policy._loop_factory is Loop
    )


def _refuse_beside_running_loop(name: str) -> None:
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(f"ouroloop.{name}() cannot be called from a running event loop")
