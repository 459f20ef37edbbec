"""Each scheduling call returns a handle; a cancelled handle's callback is never called."""

import asyncio


async def main() -> None:
    loop = asyncio.get_running_loop()
    soon = loop.call_soon(print, "never: cancelled before its turn")
    later = loop.call_later(0.01, print, "never: cancelled before its time")
    kept = loop.call_later(0.02, print, "the one that was kept")

    print("due in order:", later.when() < kept.when())
    soon.cancel()
    later.cancel()
    print("cancelled:", soon.cancelled(), later.cancelled(), kept.cancelled())

    await asyncio.sleep(0.05)
    kept.cancel()
    print("cancelling after the call changes nothing that happened")


if __name__ == "__main__":
    asyncio.run(main())
