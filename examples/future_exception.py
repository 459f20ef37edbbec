"""A future may end in an exception: whoever awaits it gets it raised. It ends only once."""

import asyncio


async def main() -> None:
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[str] = loop.create_future()
    loop.call_later(0.01, reply.set_exception, ConnectionError("line is dead"))

    try:
        await reply
    except ConnectionError as error:
        print("awaited:", error)
    print("asked:", repr(reply.exception()))

    try:
        reply.set_result("too late")
    except asyncio.InvalidStateError:
        print("set again: InvalidStateError")

    given_up: asyncio.Future[str] = loop.create_future()
    print("cancelled:", given_up.cancel(), given_up.cancelled())
    try:
        await given_up
    except asyncio.CancelledError:
        print("awaited: CancelledError")


if __name__ == "__main__":
    asyncio.run(main())
