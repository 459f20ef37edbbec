"""Cancelling a task raises CancelledError at its await, where it may clean up, or refuse."""

import asyncio


async def polite() -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError as error:
        print("polite: asked to stop,", error)
        raise
    finally:
        print("polite: cleaned up")


async def stubborn() -> str:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "finished anyway"


async def main() -> None:
    tasks = [asyncio.create_task(polite()), asyncio.create_task(stubborn())]
    await asyncio.sleep(0)
    print("accepted:", [task.cancel("closing time") for task in tasks])
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    print("outcomes:", [type(outcome).__name__ for outcome in outcomes])
    print("cancelled:", [task.cancelled() for task in tasks])
    print("too late:", tasks[1].cancel())


if __name__ == "__main__":
    asyncio.run(main())
