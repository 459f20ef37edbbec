"""A loop made by hand: it runs until one awaitable is done, can run again, and is then closed."""

import asyncio


async def add(left: int, right: int) -> int:
    await asyncio.sleep(0.01)
    return left + right


def main() -> None:
    loop = asyncio.new_event_loop()
    try:
        print("a coroutine:", loop.run_until_complete(add(2, 3)))

        future: asyncio.Future[str] = loop.create_future()
        loop.call_soon(future.set_result, "ready")
        print("a future:", loop.run_until_complete(future))

        try:
            loop.run_until_complete(asyncio.wait_for(add(2, 3), timeout=0))
        except TimeoutError:
            print("an exception: TimeoutError")
    finally:
        loop.close()
    print("running:", loop.is_running(), "closed:", loop.is_closed())


if __name__ == "__main__":
    main()
