"""Stand-ins for native coroutines, which have no frame; ``frame.rs`` has them made."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types  # `frame.rs` gives it these two
    import weakref
    from collections.abc import Coroutine, Generator

codes: "dict[str, types.CodeType]" = {}
stand_ins: "weakref.WeakKeyDictionary[object, dict[str, Coroutine[None, None, None]]]" = (
    weakref.WeakKeyDictionary()
)


@types.coroutine
def carried_out() -> "Generator[None, None, None]":
    """Wait, for ever."""
    yield


async def native() -> None:
    """Show where a native coroutine would stand."""
    await carried_out()


def code_of(name: str) -> "types.CodeType":
    """Answer the code of a coroutine with this qualified name."""
    if name not in codes:
        last = name.rpartition(".")[2]
        codes[name] = native.__code__.replace(co_name=last, co_qualname=name)
    return codes[name]


def stand_in(coroutine: object, name: str) -> "Coroutine[None, None, None]":
    """Answer the stand-in of this qualified name; each lives as long as its coroutine."""
    those = stand_ins.setdefault(coroutine, {})
    if name not in those:
        made = types.FunctionType(code_of(name), globals())()
        made.send(None)
        those[name] = made
    return those[name]
