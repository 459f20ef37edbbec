"""What a batch does next: drawn from a table, the same anywhere it happens, however deep."""

import contextvars
import copy
import gc
import operator
import pickle
import types
import weakref
from collections.abc import Callable
from typing import Any

from . import evil
from .network import NETWORK
from .recipes import RECIPES
from .targets import CLASSES, FUNCTIONS, any_class, names_of
from .values import arguments, callback, current_loop, error, named, value
from .world import call, collect, let_others_run, react_quietly, world

MOST_REFERENCES = 60


def make_wellformed() -> None:
    world.chance.one(RECIPES)()


def use_the_network() -> None:
    world.chance.one(NETWORK)()


def make_blindly() -> None:
    call(any_class(), *arguments(), **named())


def make_half() -> None:
    """An object that no ``__init__`` has seen."""
    kind = any_class()
    call(kind.__new__, kind, *(arguments() if world.chance.odds(0.2) else ()))


def initialize_again() -> None:
    found = world.pick()
    if isinstance(found, tuple(CLASSES)) and not _of_the_standard_library(found):
        call(type(found).__init__, found, *arguments(), **named())


def _of_the_standard_library(found: object) -> bool:
    """A second ``__init__`` that fails leaves such a task without a loop, whose finalizer dereferences that."""
    return any(base.__dict__.get("__module__") == "_asyncio" for base in type(found).__mro__)


def call_a_method() -> None:
    found = world.pick()
    if found is None or isinstance(found, type | types.ModuleType):
        return
    name = world.chance.one(names_of(type(found)))
    if name.startswith("__") and world.chance.odds(0.6):
        return
    if name == "__init__" and _of_the_standard_library(found):
        return
    attribute = call(getattr, found, name)
    if callable(attribute):
        call(attribute, *arguments(), **named())


def call_a_method_of_another() -> None:
    """A class's method, with an object that may be no such thing."""
    kind = any_class()
    method = getattr(kind, world.chance.one(names_of(kind)), None)
    if callable(method):
        call(method, world.pick() if world.chance.odds(0.7) else value(), *arguments(), **named())


def call_a_function() -> None:
    call(world.chance.one(FUNCTIONS), *arguments(), **named())


def set_an_attribute() -> None:
    found = world.pick()
    if found is None:
        return
    name = world.chance.one(names_of(type(found)))
    if not name.startswith("__"):
        call(setattr, found, name, value())
        if world.chance.odds(0.3):
            call(delattr, found, name)


def set_a_new_attribute() -> None:
    call(
        setattr,
        world.pick(),
        world.chance.one(("note", "more", "send", "readuntil", "cancel")),
        value(),
    )


def change_the_class() -> None:
    call(object.__setattr__, world.pick(), "__class__", any_class())


def change_the_dict() -> None:
    found = world.pick()
    if type(found) in CLASSES or world.chance.odds(0.3):
        call(setattr, found, "__dict__", world.chance.one(({}, {"note": world.pick()}, value())))


def look_at() -> None:
    look = world.chance.one((repr, str, hash, bool, len, iter, dir, operator.length_hint, id))
    call(look, world.pick())


def compare() -> None:
    call(world.chance.one(_COMPARISONS), world.pick(), world.pick())


_COMPARISONS = (
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.or_,
)


def copy_one() -> None:
    found = world.pick()
    if isinstance(found, tuple(CLASSES)):
        call(world.chance.one((copy.copy, copy.copy, copy.deepcopy, pickle.dumps)), found)


_references: list[Any] = []


def _dead(reference: Any) -> None:
    if reference() is not None:
        world.keep(reference())
    react_quietly(0.5)


def watch() -> None:
    found, told = world.pick(), world.chance.one((None, _dead, _dead))
    if type(found) is types.BuiltinMethodType:
        return  # A built-in class's goes when there is no interpreter any more; up to 3.12 the callback is called then.
    try:
        reference = weakref.ref(found, told)
    except TypeError:
        return
    if len(_references) < MOST_REFERENCES:
        _references.append(reference)
    else:
        place = world.chance.below(MOST_REFERENCES)
        gone, _references[place] = _references[place], reference
        del gone


def come_back() -> None:
    """Take an object from a weak reference."""
    if _references:
        world.keep(world.chance.one(_references)())


def step() -> None:
    """Drive a coroutine or an iterator, in whatever order."""
    found = world.pick()
    match world.chance.below(6):
        case 0 | 1 | 2:
            drive, given = "send", (value() if world.chance.odds(0.3) else None,)
        case 3 | 4:
            drive, given = "throw", (error(),)
        case _:
            drive, given = "close", ()
    if hasattr(type(found), "send") or hasattr(type(found), "__await__"):
        method = getattr(found, drive, None)
        if method is None:
            call(type(found).__await__, found)
        else:
            keep_what_it_stops_with(method, *given)


_stops: list[StopIteration] = []


def keep_what_it_stops_with(method: Any, *given: Any) -> None:
    """Call a step; the exception that ends it is kept, changed, and raised anew."""

    def stopped() -> Any:
        try:
            return method(*given)
        except StopIteration as stop:
            if len(_stops) > 10:
                _stops.pop(0)
            _stops.append(stop)
            if world.chance.odds(0.3):
                stop.value = evil.SlottedEvil()
                stop.args = (world.pick(),)
                stop.__context__ = world.chance.one(_stops)
            raise

    call(stopped)


def own_in_a_chain() -> None:
    """Hang objects on a chain as deep as the interpreter's bound for finalizers in finalizers, or less."""
    chain: Any = evil.Finalized(world.pick(), world.pick())
    link = world.chance.one(
        (evil.Finalized, lambda inner: [inner], lambda inner: (inner,), _future_of)
    )
    for _ in range(world.chance.one((2, 30, 60))):
        chain = link(chain)
    world.keep(evil.Finalized(chain))


def _future_of(inner: Any) -> Any:
    made = current_loop().create_future()
    made.set_result(inner)
    return made


def tie() -> None:
    """Make a cycle of native objects, for a collection to find."""
    cycle: list[Any] = [world.pick(), evil.Finalized(world.pick())]
    cycle.append(cycle)
    call(setattr, cycle[0], "note", cycle)


def enter_a_context() -> None:
    """Contexts are objects as well: whoever finds one may run in it."""
    for found in gc.get_objects(0):
        if type(found) is contextvars.Context:
            world.keep(found)
    context = world.pick_a(contextvars.Context)
    if type(context) is contextvars.Context:
        call(context.run, world.act)


def look_inside() -> None:
    """Take what an object refers to, or what refers to it."""
    found = world.pick()
    if found is not None:
        for inner in call(gc.get_referents, found) or ():
            world.keep(inner)


def run_callbacks() -> None:
    """Callbacks are answered by an attribute, and anybody may call them."""
    for entry in call(getattr, world.pick(), "_callbacks", None) or ():
        if isinstance(entry, tuple) and entry:
            call(entry[0], world.pick())


_ACTIONS: list[Callable[[], object]] = [
    *[make_wellformed] * 24, *[call_a_method] * 20, *[call_a_function] * 3, *[use_the_network] * 2, *[make_half] * 2,
    *[make_blindly] * 3, *[initialize_again] * 2, *[call_a_method_of_another] * 3, *[set_an_attribute] * 3,
    set_a_new_attribute, change_the_class, change_the_dict, *[look_at] * 2, compare, copy_one, *[watch] * 4,
    *[come_back] * 2, *[step] * 5, own_in_a_chain, tie, *[world.forget] * 4, look_inside, run_callbacks,
]  # fmt: skip
_RARE: list[Callable[[], object]] = [
    collect, enter_a_context, let_others_run, lambda: gc.set_threshold(world.chance.one((1, 2, 10, 50, 700))),
    lambda: call(callback),
]  # fmt: skip


def act() -> None:
    """Do the next thing."""
    chance = world.chance
    chance.one(_RARE if chance.odds(0.01) else _ACTIONS)()
