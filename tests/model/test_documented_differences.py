"""What docs/architecture.md says is different ("What tools see"): it is, and in that way."""

import asyncio
import types
from collections.abc import Generator
from typing import Any

import ouroloop
import pytest


@pytest.mark.parametrize(
    "bases", [(dict, ouroloop.Lock), (Exception, ouroloop.Event), (ouroloop.Queue, ouroloop.Event)]
)
def test_two_layouts_are_not_derived_from(bases: tuple[type, ...]) -> None:
    with pytest.raises(TypeError, match="multiple bases have instance lay-out conflict"):
        type("Both", bases, {})


def test_an_object_is_made_by_its_own_class() -> None:
    with pytest.raises(TypeError, match="not safe"):
        object.__new__(type(ouroloop.Lock()))


def test_a_turn_of_a_derived_class_is_not_called() -> None:
    class Turning(ouroloop.Loop):
        def _run_once(self) -> None:
            raise AssertionError

    loop = Turning()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_who_patches_the_code_of_asyncios_loop_finds_another() -> None:
    """nest_asyncio refuses a loop for this."""
    loop = ouroloop.new_event_loop()
    assert not issubclass(type(loop), asyncio.BaseEventLoop)
    loop.close()


def test_a_native_coroutine_can_be_stepped_by_a_generator() -> None:
    @types.coroutine
    def generator() -> Generator[Any, Any, str]:
        yield from ouroloop.sleep(0)  # type: ignore[misc]
        return "over"

    async def main() -> str:
        return await generator()

    assert asyncio.run(main()) == "over"
    assert list(ouroloop.sleep(0)) == [None]  # type: ignore[call-overload]


@pytest.mark.parametrize("method", ["call_soon", "create_future"])
def test_what_native_code_leaves_out(method: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    loop = type("Refusing", (ouroloop.Loop,), {method: refuse})()
    loop.run_until_complete(ouroloop.sleep(0.001))
    loop.close()
