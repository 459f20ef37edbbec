"""What a cancelled waiter was given goes on to the next."""

import asyncio
from typing import Any

import pytest

from tests.support.releases import stock_has

from .conftest import Side, turns

REPAIRED = stock_has((3, 13, 0))


@pytest.fixture(autouse=True)
def repaired(side: Side) -> None:
    """Leave the stock side out where it loses them."""
    if not side.native and not REPAIRED:
        pytest.skip("lost on stock asyncio")


def test_a_notification_that_meets_a_cancellation(side: Side) -> None:
    async def main() -> list[str]:
        condition = side.Condition()
        seen = []

        async def wait(name: str) -> None:
            async with condition:
                await condition.wait()
                seen.append(name)

        first = asyncio.ensure_future(wait("first"))
        second = asyncio.ensure_future(wait("second"))
        await turns(2)
        async with condition:
            condition.notify()
            first.cancel()
        await asyncio.wait_for(second, 10)
        assert first.cancelled()
        return seen

    assert side.run(main()) == ["second"]


def test_a_cancellation_while_the_lock_is_taken_again(side: Side) -> None:
    async def main() -> None:
        condition = side.Condition()
        caught: list[BaseException] = []

        async def wait() -> None:
            async with condition:
                try:
                    await condition.wait()
                except asyncio.CancelledError as error:
                    caught.append(error)
                    raise

        task = asyncio.ensure_future(wait())
        await turns()
        async with condition:
            condition.notify()
            await turns()
            task.cancel("why")
            await turns()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [error.args for error in caught] == [("why",)]

    side.run(main())


def test_a_permit_of_a_cancelled_waiter(side: Side) -> None:
    async def main() -> list[int]:
        semaphore = side.Semaphore(0)
        got = []

        async def take(number: int) -> None:
            await semaphore.acquire()
            got.append(number)

        tasks: list[Any] = [asyncio.ensure_future(take(number)) for number in range(4)]
        await turns()
        # Two permits: one was meant for a waiter that is cancelled in the same turn.
        semaphore.release()
        semaphore.release()
        tasks[0].cancel()
        await turns(4)
        tasks[3].cancel()
        await asyncio.wait(tasks)
        return got

    assert side.run(main()) == [1, 2]
