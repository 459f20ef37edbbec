"""The Python function that a native one would be; ``stand_in.rs`` calls ``make``."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType
    from typing import Any


def make(
    native: "Callable[..., Any]", qualified: str, module: str, opening: str, calling: str
) -> "FunctionType":
    """Make a function that has the signature of a native one, and calls it.

    Arguments are declared without their defaults, which may be any objects and are set afterwards.
    """
    from inspect import Parameter, signature

    declared, passed, defaults, keyword_defaults = [], [], [], {}
    stars_of: dict[object, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
    by_position = False
    for parameter in signature(native).parameters.values():
        name, kind = parameter.name, parameter.kind
        if by_position and kind is not Parameter.POSITIONAL_ONLY:
            declared.append("/")
        # Methods in Python take themselves by name, too.
        by_position = kind is Parameter.POSITIONAL_ONLY and name != "self"
        if kind is Parameter.KEYWORD_ONLY:
            if not any(it.startswith("*") for it in declared):
                declared.append("*")
            declared.append(name)
            passed.append(f"{name}={name}")
            if parameter.default is not Parameter.empty:
                keyword_defaults[name] = parameter.default
            continue
        stars = stars_of.get(kind, "")
        declared.append(stars + name)
        passed.append(stars + name)
        if parameter.default is not Parameter.empty:
            defaults.append(parameter.default)
    if by_position:
        declared.append("/")
    head = f"{opening} {native.__name__}({', '.join(declared)}):"
    source = f"{head}\n {calling} native({', '.join(passed)})\n"
    names = {"__name__": module, "__builtins__": __builtins__, "native": native}
    made: dict[str, FunctionType] = {}
    exec(compile(source, make.__code__.co_filename, "exec"), names, made)
    function = made[native.__name__]
    function.__code__ = function.__code__.replace(co_qualname=qualified)
    function.__qualname__ = qualified
    function.__doc__ = native.__doc__
    function.__defaults__ = tuple(defaults) or None
    function.__kwdefaults__ = keyword_defaults or None
    return function
