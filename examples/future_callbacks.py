"""Callbacks of a future: called by the loop, in the order added, each with the future itself."""

import asyncio
from functools import partial


def report(label: str, future: asyncio.Future[int]) -> None:
    print(f"{label}: {future.result()}")


async def main() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    unwanted = partial(report, "unwanted")
    future.add_done_callback(partial(report, "first"))
    future.add_done_callback(unwanted)
    future.add_done_callback(partial(report, "second"))
    print("removed:", future.remove_done_callback(unwanted))

    future.set_result(7)
    print("result set, no callback called yet")
    await asyncio.sleep(0)

    future.add_done_callback(partial(report, "added when done"))
    print("still through the loop")
    await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main())
