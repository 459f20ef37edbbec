"""`asyncio.run` makes a loop, runs one coroutine on it, cleans up, closes it, gives the result."""

import asyncio


async def linger() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        print("a task left behind is cancelled before the loop closes")


async def main(fail: bool) -> asyncio.AbstractEventLoop:
    leftover = asyncio.create_task(linger())
    await asyncio.sleep(0)
    print("left behind:", not leftover.done())
    if fail:
        raise LookupError("from main")
    return asyncio.get_running_loop()


if __name__ == "__main__":
    loop = asyncio.run(main(fail=False))
    print("closed:", loop.is_closed())
    try:
        asyncio.run(main(fail=True))
    except LookupError as error:
        print("raised:", error)
