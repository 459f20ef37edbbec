"""A method that an object gets of its own counts from then on, whatever the object looked like before."""

import asyncio
from typing import Any

import pytest
from ouroloop import _native

from tests.support.loops import Run


@pytest.fixture(params=[asyncio.StreamReader, _native.StreamReader], ids=["stock", "native"])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_one_attribute_goes_and_a_method_comes(run: Run, make: Any) -> None:
    async def mine(separator: bytes = b"\n") -> bytes:
        return b"mine"

    async def main() -> list[bytes]:
        reader = make()
        reader.feed_data(b"a\nb\nc\nd\n")
        lines = []
        for _ in range(2):
            reader.note = 1
            lines.append(await reader.readline())
            del reader.note
            reader.readuntil = mine
            lines.append(await reader.readline())
            del reader.readuntil
        return lines

    assert run(main()) == [b"a\n", b"mine", b"b\n", b"mine"]


def test_a_method_comes_by_the_dict(run: Run, make: Any) -> None:
    async def mine(separator: bytes = b"\n") -> bytes:
        return b"mine"

    async def main() -> list[bytes]:
        reader = make()
        reader.feed_data(b"a\nb\nc\n")
        reader.note = 1
        lines = [await reader.readline()]
        del vars(reader)["note"]
        vars(reader)["readuntil"] = mine
        lines.append(await reader.readline())
        del vars(reader)["readuntil"]
        vars(reader)["note"] = 1
        lines.append(await reader.readline())
        return lines

    assert run(main()) == [b"a\n", b"mine", b"b\n"]


def test_one_object_among_many_alike(run: Run, make: Any) -> None:
    async def mine(separator: bytes = b"\n") -> bytes:
        return b"mine"

    async def main() -> list[bytes]:
        readers = [make() for _ in range(4)]
        for place, reader in enumerate(readers):
            reader.feed_data(b"a\n")
            if place % 2:
                reader.readuntil = mine
            else:
                reader.note = mine
        return [await reader.readline() for reader in readers]

    assert run(main()) == [b"a\n", b"mine"] * 2
