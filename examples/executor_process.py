"""Computing moved to a process pool: the loop stays free to serve others meanwhile."""

import asyncio
from concurrent.futures import ProcessPoolExecutor


def count_primes(limit: int) -> int:
    return sum(all(n % divisor for divisor in range(2, int(n**0.5) + 1)) for n in range(2, limit))


async def tick(ticks: list[float]) -> None:
    while True:
        ticks.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.001)


async def main() -> None:
    ticks: list[float] = []
    ticker = asyncio.create_task(tick(ticks))
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(2) as pool:
        jobs = [loop.run_in_executor(pool, count_primes, limit) for limit in (100, 1_000, 50_000)]
        print("primes:", await asyncio.gather(*jobs))
    ticker.cancel()
    print("the loop kept ticking:", len(ticks) > 1)


if __name__ == "__main__":
    asyncio.run(main())
