"""A bounded queue between a producer and a consumer: the faster of the two waits for the other."""

import asyncio


async def produce(queue: asyncio.Queue[int], count: int) -> None:
    for item in range(count):
        if queue.full():
            print("producer waits: the queue is full")
        await queue.put(item)
        print(f"put {item}, {queue.qsize()} in the queue")


async def consume(queue: asyncio.Queue[int]) -> None:
    while True:
        item = await queue.get()
        await asyncio.sleep(0.01)
        print(f"used {item}")
        queue.task_done()


async def main() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    consumer = asyncio.create_task(consume(queue))
    await produce(queue, 5)
    await queue.join()
    print("everything used, empty:", queue.empty())

    consumer.cancel()
    await asyncio.gather(consumer, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
