"""``as_completed``: in the order of their ends, by ``for`` and, from 3.13 on, by ``async for``."""

import asyncio
import gc
import sys
import weakref
from typing import Any

import pytest

from .conftest import World, growth, turns

ASYNC = sys.version_info >= (3, 13)


async def give(value: Any, after: int = 0) -> Any:
    await turns(after)
    return value


async def fail(after: int = 0) -> None:
    await turns(after)
    raise ValueError("failed")


def test_order(world: World) -> None:
    async def main() -> Any:
        awaitables = [give(place, place * 3) for place in (3, 1, 2)]
        return [await each for each in world.api.as_completed(awaitables)]

    assert world.run(main()) == [1, 2, 3]


def test_failure(world: World) -> None:
    async def main() -> Any:
        first, second = world.api.as_completed([give(1), fail(4)])
        assert await first == 1
        with pytest.raises(ValueError, match=r"^failed$"):
            await second

    world.run(main())


def test_waiters_are_served_in_their_order(world: World) -> None:
    async def main() -> Any:
        turns_out = list(world.api.as_completed([give(1, 4), give(2, 8)]))
        served = []

        async def serve(name: str, each: Any) -> None:
            served.append((name, await each))

        await asyncio.gather(serve("b", turns_out[1]), serve("a", turns_out[0]))
        return served

    assert world.run(main()) == [("b", 1), ("a", 2)]


def test_cancelled_waiter_passes_on(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future(), loop.create_future()]
        first, second = (asyncio.ensure_future(each) for each in world.api.as_completed(futures))
        await turns()
        futures[0].set_result("mine")
        await turns()
        first.cancel()
        answer = await second
        return answer, first.cancelled()

    assert world.run(main()) == ("mine", True)


def test_time_is_over(world: World) -> None:
    async def main() -> Any:
        lasting = asyncio.get_running_loop().create_future()
        seen: list[Any] = []
        for each in world.api.as_completed([give(1), lasting, lasting], timeout=0.01):
            try:
                seen.append(await each)
            except TimeoutError:
                seen.append("late")
        return seen, lasting.done(), lasting._callbacks or None

    assert world.run(main()) == ([1, "late"], False, None)


def test_single_awaitable_is_refused(world: World) -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()
        expected = "expects an iterable of awaitables" if ASYNC else "expect an iterable of futures"
        with pytest.raises(TypeError, match=rf"^{expected}, not Future$"):
            list(world.api.as_completed(future))
        coroutine = give(1)
        with pytest.raises(TypeError, match=rf"^{expected}, not coroutine$"):
            list(world.api.as_completed(coroutine))
        coroutine.close()

    world.run(main())


def test_nothing(world: World) -> None:
    async def main() -> Any:
        return list(world.api.as_completed([]))

    assert world.run(main()) == []


def test_names(world: World) -> None:
    async def main() -> Any:
        (each,) = world.api.as_completed([give(1)])
        await each
        return each.__qualname__

    owner = "_AsCompletedIterator" if ASYNC else "as_completed.<locals>"
    assert world.run(main()) == f"{owner}._wait_for_one"


@pytest.mark.skipif(ASYNC, reason="a generator before 3.13")
def test_begins_with_the_first_step(world: World) -> None:
    async def main() -> Any:
        iterator = world.api.as_completed(3)
        with pytest.raises(TypeError):
            next(iterator)
        assert list(iterator) == []
        ran: list[int] = []

        async def run() -> None:
            ran.append(1)

        coroutine = run()
        iterator = world.api.as_completed([coroutine])
        await turns(2)
        assert not ran
        iterator.close()
        assert list(iterator) == []
        coroutine.close()

    world.run(main())


@pytest.mark.skipif(not ASYNC, reason="from 3.13 on")
class TestAsync:
    def test_gives_the_futures_themselves(self, world: World) -> None:
        async def main() -> Any:
            slow, quick = asyncio.ensure_future(give(1, 6)), asyncio.ensure_future(give(2, 2))
            seen = []
            async for each in world.api.as_completed([slow, quick]):
                assert each.done()
                seen.append(each)
            return seen == [quick, slow]

        assert world.run(main()) is True

    def test_both_ways(self, world: World) -> None:
        async def main() -> Any:
            iterator = world.api.as_completed([give(1), give(2, 3), give(3, 6)])
            first = await next(iterator)
            second = (await anext(iterator)).result()
            return [first, second, *[each.result() async for each in iterator]]

        assert world.run(main()) == [1, 2, 3]

    def test_time_is_over(self, world: World) -> None:
        async def main() -> Any:
            lasting = asyncio.get_running_loop().create_future()
            iterator = world.api.as_completed([give(1), lasting], timeout=0.01)
            seen = [(await anext(iterator)).result()]
            with pytest.raises(TimeoutError):
                await anext(iterator)
            return seen

        assert world.run(main()) == [1]

    def test_end_only_when_awaited(self, world: World) -> None:
        async def main() -> Any:
            iterator = world.api.as_completed([])
            assert iterator.__aiter__() is iterator
            step = iterator.__anext__()
            with pytest.raises(StopAsyncIteration):
                await step
            return step.__qualname__

        assert world.run(main()) == "_AsCompletedIterator.__anext__"


def test_bound_to_one_loop(world: World) -> None:
    other = world.factory()

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        first, second = world.api.as_completed([loop.create_future(), loop.create_future()])
        task = asyncio.ensure_future(first)
        await turns()
        task.cancel()
        return second

    second = world.run(main())
    with pytest.raises(RuntimeError, match=r"is bound to a different event loop$"):
        other.run_until_complete(second)
    other.close()


def test_cycles_are_collected(native_world: World) -> None:
    async def main() -> Any:
        class Marked:
            pass

        marked: Any = Marked()
        gone = weakref.ref(marked)
        future: Any = asyncio.get_running_loop().create_future()
        future.marked = marked
        marked.iterator = native_world.api.as_completed([future])
        marked.turn = next(marked.iterator)
        marked.turn.send(None)
        del marked, future
        gc.collect()
        return gone()

    assert native_world.run(main()) is None


def test_nothing_is_left_behind(native_world: World) -> None:
    async def many() -> None:
        for _ in range(2_000):
            for each in native_world.api.as_completed([give(1), give(2)], timeout=60):
                await each

    assert growth(lambda: native_world.run(many())) < 100
