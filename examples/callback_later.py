"""`call_later` and `call_at` order callbacks by their time; none is called before its time."""

import asyncio


def main() -> None:
    loop = asyncio.new_event_loop()
    start = loop.time()

    def ring(name: str, delay: float) -> None:
        print(name, "on time" if loop.time() >= start + delay else "too early")

    try:
        loop.call_later(0.3, loop.stop)
        loop.call_later(0.2, ring, "third", 0.2)
        loop.call_at(start + 0.1, ring, "second", 0.1)
        loop.call_later(0, ring, "first", 0)
        loop.run_forever()
    finally:
        loop.close()


if __name__ == "__main__":
    main()
