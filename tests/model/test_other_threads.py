"""Threads beside a loop that always has something to do."""

import asyncio
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support.loops import PATIENCE, Run


@pytest.fixture(autouse=True)
def patient_interpreter() -> Iterator[None]:
    """Nobody takes the GIL from a thread that does not let it go."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(2 * PATIENCE)
    yield
    sys.setswitchinterval(before)


async def spin() -> None:
    while True:
        await asyncio.sleep(0)


def test_they_run_while_tasks_switch(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        spinning = asyncio.ensure_future(spin())
        assert await asyncio.wait_for(asyncio.to_thread(threading.get_ident), PATIENCE)
        assert await asyncio.wait_for(loop.run_in_executor(None, int), PATIENCE) == 0
        spinning.cancel()

    run(main())


def test_they_talk_to_the_loop_while_tasks_switch(run: Run) -> None:
    async def answer() -> int:
        return 1

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        answers = []

        def ask() -> None:
            answers.extend(
                asyncio.run_coroutine_threadsafe(answer(), loop).result(PATIENCE) for _ in range(5)
            )
            loop.call_soon_threadsafe(ended.set)

        spinning = asyncio.ensure_future(spin())
        thread = threading.Thread(target=ask)
        thread.start()
        await asyncio.wait_for(ended.wait(), PATIENCE)
        spinning.cancel()
        thread.join()
        assert answers == [1] * 5

    run(main())
