"""Calling a coroutine function runs none of its body: it makes an object to be awaited, once."""

import asyncio
import inspect


async def greet(name: str) -> str:
    print("the body runs")
    return f"hello, {name}"


async def main() -> None:
    coroutine = greet("loop")
    print("called:", inspect.getcoroutinestate(coroutine))

    greeting = await coroutine
    print("awaited:", inspect.getcoroutinestate(coroutine))
    print(greeting)

    try:
        await coroutine
    except RuntimeError as error:
        print("awaited again:", error)


if __name__ == "__main__":
    asyncio.run(main())
