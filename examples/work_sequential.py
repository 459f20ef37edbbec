"""Three jobs one after the other: the next starts only when the one before has ended."""

import asyncio


async def job(name: str, delay: float) -> str:
    print(f"{name} starts")
    await asyncio.sleep(delay)
    print(f"{name} ends")
    return name.upper()


async def main() -> None:
    results = [
        await job("boil", 0.03),
        await job("chop", 0.02),
        await job("bake", 0.01),
    ]
    print(results)


if __name__ == "__main__":
    asyncio.run(main())
