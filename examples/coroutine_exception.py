"""An exception crosses each await on its way out, exactly as it crosses a function call."""

import asyncio


async def read_sensor(name: str) -> float:
    await asyncio.sleep(0)
    if name == "broken":
        raise ValueError(f"no reading from {name!r}")
    return 21.5


async def average(*names: str) -> float:
    try:
        return sum([await read_sensor(name) for name in names]) / len(names)
    finally:
        print("average: cleaning up")


async def main() -> None:
    print(await average("north", "south"))
    try:
        await average("north", "broken", "south")
    except ValueError as error:
        print("caught across two awaits:", error)

    task = asyncio.create_task(average("broken"))
    outcomes = await asyncio.gather(task, read_sensor("east"), return_exceptions=True)
    print("kept by the task:", outcomes[0] is task.exception(), repr(task.exception()))
    print("its neighbour:", outcomes[1])


if __name__ == "__main__":
    asyncio.run(main())
