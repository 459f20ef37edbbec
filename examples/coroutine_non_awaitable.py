"""Only an awaitable can be awaited: anything else is a TypeError at that await."""

import asyncio
from collections.abc import Generator
from typing import Any


class Answer:
    """An awaitable of our own: what `await` needs is an `__await__` that gives an iterator."""

    def __await__(self) -> Generator[Any, Any, int]:
        yield from asyncio.sleep(0).__await__()
        return 42


async def answer() -> int:
    return await Answer()


async def main() -> None:
    candidates: list[Any] = [Answer(), answer(), answer, 42, [answer], None]
    for candidate in candidates:
        kind = type(candidate).__name__
        try:
            print(f"{kind}: {await candidate}")
        except TypeError:
            print(f"{kind}: TypeError")


if __name__ == "__main__":
    asyncio.run(main())
