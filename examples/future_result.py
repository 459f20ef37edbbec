"""A future stands for a result to come: some await it, someone else sets it."""

import asyncio


async def guest(name: str, dinner: asyncio.Future[str]) -> None:
    print(f"{name} waits")
    print(f"{name} eats {await dinner}")


async def main() -> None:
    dinner: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    guests = [asyncio.create_task(guest(name, dinner)) for name in ("Ada", "Alan")]
    await asyncio.sleep(0)

    print("done:", dinner.done())
    try:
        dinner.result()
    except asyncio.InvalidStateError:
        print("no result yet")

    dinner.set_result("soup")
    print("done:", dinner.done())
    await asyncio.gather(*guests)
    print("any time later:", await dinner, dinner.result())


if __name__ == "__main__":
    asyncio.run(main())
