"""A task group waits for all its tasks; when one fails, it cancels the others and reports."""

import asyncio


async def square(number: int) -> int:
    await asyncio.sleep(0)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


async def wait_long(name: str) -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print(f"{name} is cancelled")
        raise


async def main() -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(square(number)) for number in (2, 3, 4)]
    print("squares:", [task.result() for task in tasks])

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_long("sibling"))
            group.create_task(square(-1))
            await wait_long("body")
    except* ValueError as errors:
        print("failed:", [str(error) for error in errors.exceptions])


if __name__ == "__main__":
    asyncio.run(main())
