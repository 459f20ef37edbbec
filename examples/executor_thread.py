"""Blocking code moved to a thread: it may wait as it likes without holding up the loop."""

import asyncio
import threading


def blocking_read(door: threading.Event, name: str) -> str:
    # Were this called on the loop's own thread, nobody could ever open the door.
    opened = door.wait(timeout=30)
    place = "main" if threading.current_thread() is threading.main_thread() else "other"
    return f"{name}: opened={opened}, thread={place}"


async def main() -> None:
    door = threading.Event()
    loop = asyncio.get_running_loop()
    reads = [
        asyncio.create_task(asyncio.to_thread(blocking_read, door, "to_thread")),
        loop.run_in_executor(None, blocking_read, door, "run_in_executor"),
    ]
    await asyncio.sleep(0.01)
    print("both blocked:", not any(read.done() for read in reads))
    door.set()
    for line in await asyncio.gather(*reads):
        print(line)


if __name__ == "__main__":
    asyncio.run(main())
