"""`call_soon` queues a callback: first in, first out, never inside the call that queued it."""

import asyncio


def show(label: str) -> None:
    print(label)


def nest(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(show, "third, queued by a callback")
    loop.call_soon(loop.stop)
    print("second, and nothing it queued has run")


def main() -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.call_soon(show, "first")
        loop.call_soon(nest, loop)
        print("queued, nothing has run")
        loop.run_forever()
        print("stopped")
    finally:
        loop.close()


if __name__ == "__main__":
    main()
