"""A task starts a coroutine in the background: its maker goes on and may collect it later."""

import asyncio


async def fetch(page: int) -> str:
    task = asyncio.current_task()
    assert task is not None
    print(f"{task.get_name()} starts")
    await asyncio.sleep(0.01 * page)
    return f"page {page}"


async def main() -> None:
    tasks = [asyncio.create_task(fetch(page), name=f"fetch-{page}") for page in (1, 2)]
    print("made, not yet started:", len(tasks))

    await asyncio.sleep(0)
    print("started, not yet done:", [task.done() for task in tasks])
    print("alive with main:", len(asyncio.all_tasks()))

    for task in tasks:
        print(f"{task.get_name()} gives {await task}")
    print("done:", [task.done() for task in tasks], tasks[0].result())


if __name__ == "__main__":
    asyncio.run(main())
