"""Three jobs concurrently: all wait at once on one thread, and the shortest wait ends first.

The results still come in the order in which the jobs were given.
"""

import asyncio


async def job(name: str, delay: float) -> str:
    print(f"{name} starts")
    await asyncio.sleep(delay)
    print(f"{name} ends")
    return name.upper()


async def main() -> None:
    results = await asyncio.gather(
        job("boil", 0.3),
        job("chop", 0.2),
        job("bake", 0.1),
    )
    print(results)


if __name__ == "__main__":
    asyncio.run(main())
