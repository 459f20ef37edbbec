"""A coroutine stops at an await, keeps its local variables, and goes on from there later."""

import asyncio
import inspect


async def count(name: str, stop: int) -> int:
    total = 0
    for number in range(1, stop + 1):
        total += number
        print(f"{name}: {number}, total {total}")
        await asyncio.sleep(0)
    return total


async def main() -> None:
    left, right = count("left", 3), count("right", 2)
    tasks = [asyncio.create_task(left), asyncio.create_task(right)]

    await asyncio.sleep(0)
    print("main:", inspect.getcoroutinestate(left), inspect.getcoroutinestate(right))

    print("totals:", [await task for task in tasks])
    print("main:", inspect.getcoroutinestate(left), inspect.getcoroutinestate(right))


if __name__ == "__main__":
    asyncio.run(main())
