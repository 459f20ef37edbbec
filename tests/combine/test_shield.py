"""``shield``: the inner one goes on, whatever happens to the outer one."""

import asyncio
import gc
import sys
from typing import Any

import pytest

from .conftest import World, growth, turns

LOGS = hasattr(asyncio.tasks, "_log_on_exception")


async def give(value: Any, after: int = 0) -> Any:
    await turns(after)
    return value


async def fail(after: int = 0) -> None:
    await turns(after)
    raise ValueError("inner")


def test_result_and_exception(world: World) -> None:
    async def main() -> Any:
        with pytest.raises(ValueError, match=r"^inner$"):
            await world.api.shield(fail(2))
        return await world.api.shield(give(1, 2))

    assert world.run(main()) == 1


def test_done_already(world: World) -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_result(1)
        return world.api.shield(future) is future

    assert world.run(main()) is True


def test_cancelling_the_outer_one(world: World) -> None:
    async def main() -> Any:
        inner = asyncio.ensure_future(give("inner", 5))
        outer = world.api.shield(inner)

        async def wait() -> None:
            await outer

        waiting = asyncio.ensure_future(wait())
        await turns()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert outer.cancelled()
        assert not inner.cancelling() if sys.version_info >= (3, 11) else True
        return await inner

    assert world.run(main()) == "inner"


def test_cancelling_the_inner_one(world: World) -> None:
    async def main() -> Any:
        inner = asyncio.get_running_loop().create_future()
        outer = world.api.shield(inner)
        inner.cancel()
        await turns(2)
        return outer.cancelled()

    assert world.run(main()) is True


def test_outer_one_is_told_in_the_next_turn(world: World) -> None:
    async def main() -> Any:
        inner = asyncio.get_running_loop().create_future()
        outer = world.api.shield(inner)
        inner.set_result(1)
        seen = [outer.done()]
        await turns()
        return [*seen, outer.done()]

    assert world.run(main()) == [False, True]


def test_late_failure_of_the_inner_one(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        reports: list[Any] = []
        loop.set_exception_handler(lambda _, context: reports.append(context))
        inner = loop.create_future()
        for _ in range(3):
            outer = world.api.shield(inner)
            outer.cancel()
            await turns(2)
        inner.set_exception(ValueError("late"))
        await turns(2)
        del inner, outer
        gc.collect()
        return [report["message"] for report in reports], [list(report) for report in reports]

    expected: Any = (
        ["ValueError exception in shielded future"],
        [["message", "exception", "future"]],
    )
    if not LOGS:
        expected = ["Future exception was never retrieved"], [["message", "exception", "future"]]
    assert world.run(main()) == expected


def test_late_failure_in_the_same_turn(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        reports: list[Any] = []
        loop.set_exception_handler(lambda _, context: reports.append(context["message"]))
        inner = loop.create_future()
        outer = world.api.shield(inner)
        outer.cancel()
        inner.set_exception(ValueError("late"))
        await turns(2)
        del inner, outer
        gc.collect()
        return reports

    assert world.run(main()) == (["Future exception was never retrieved"] if LOGS else [])


def test_gathered(world: World) -> None:
    async def main() -> Any:
        child = asyncio.ensure_future(give(1, 3))
        outer = world.api.shield(world.api.gather(child))
        await turns()
        outer.cancel()
        return await child

    assert world.run(main()) == 1


def test_refusal(world: World) -> None:
    async def main() -> Any:
        with pytest.raises(TypeError, match=r"^An asyncio.Future, a coroutine or an awaitable is"):
            world.api.shield(3)

    world.run(main())


def test_a_lasting_inner_one_forgets_its_shields(native_world: World) -> None:
    async def many() -> None:
        lasting = asyncio.get_running_loop().create_future()
        for _ in range(2_000):
            native_world.api.shield(lasting).cancel()
            await turns()
        assert len(lasting._callbacks or []) == LOGS

    assert growth(lambda: native_world.run(many())) < 100
