"""Three jobs in parallel: each computes in a process of its own, all three at one time."""

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def job(barrier: threading.Barrier, limit: int) -> tuple[int, int]:
    # Nobody passes before three processes stand here, so the jobs cannot have taken turns.
    barrier.wait(timeout=30)
    return os.getpid(), sum(number * number for number in range(limit))


async def main() -> None:
    loop = asyncio.get_running_loop()
    with multiprocessing.Manager() as manager, ProcessPoolExecutor(3) as pool:
        barrier = manager.Barrier(3)
        jobs = [loop.run_in_executor(pool, job, barrier, limit) for limit in (10, 100, 1000)]
        results = await asyncio.gather(*jobs)
    print("sums:", [total for _, total in results])
    print("processes:", len({pid for pid, _ in results}))
    print("in this process:", os.getpid() in {pid for pid, _ in results})


if __name__ == "__main__":
    asyncio.run(main())
