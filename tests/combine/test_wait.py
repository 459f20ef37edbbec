"""``wait``: both sets, its three ways to be over, its time-out, its refusals."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from .conftest import World, growth, turns


async def give(value: Any, after: int = 0) -> Any:
    await turns(after)
    return value


async def fail(after: int = 0) -> None:
    await turns(after)
    raise ValueError


def test_all(world: World) -> None:
    async def main() -> Any:
        tasks = [asyncio.ensure_future(give(place, place)) for place in range(5)]
        done, pending = await world.api.wait(tasks)
        assert type(done) is type(pending) is set
        return done == set(tasks), pending

    assert world.run(main()) == (True, set())


@pytest.mark.parametrize("timeout", [None, 60])
def test_first(world: World, timeout: float | None) -> None:
    async def main() -> Any:
        tasks = [asyncio.ensure_future(give(place, place * 5)) for place in range(3)]
        first = asyncio.FIRST_COMPLETED
        done, pending = await world.api.wait(tasks, return_when=first, timeout=timeout)
        found = [task.result() for task in done], len(pending)
        for task in pending:
            assert not task._callbacks  # type: ignore[attr-defined]
            await task
        return found

    assert world.run(main()) == ([0], 2)


def test_first_exception(world: World) -> None:
    async def main() -> Any:
        quick, failing, slow = (
            asyncio.ensure_future(each) for each in (give(1), fail(3), give(2, 9))
        )
        cancelled = asyncio.ensure_future(give(3, 9))
        cancelled.cancel()
        every = [quick, failing, slow, cancelled]
        first = asyncio.FIRST_EXCEPTION
        done, pending = await world.api.wait(every, return_when=first)
        assert await slow == 2
        return done == {quick, failing, cancelled}, pending == {slow}

    # The exception that ended the wait counts as looked at: nothing is reported.
    assert world.run(main()) == (True, True)


def test_time_is_over(world: World) -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()
        quick = asyncio.ensure_future(give(1))
        done, pending = await world.api.wait([future, quick], timeout=0.01)
        return done == {quick}, pending == {future}, future.cancelled()

    assert world.run(main()) == (True, True, False)


def test_cancelling_the_wait_leaves_the_futures_alone(world: World) -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(world.api.wait([future]))
        await turns(2)
        assert future._callbacks
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        return future.done(), future._callbacks or None, raised.value.args

    assert world.run(main()) == (False, None, ("enough",))


def test_what_is_refused(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        coroutine = give(1)
        for arguments, keywords, kind, message in [
            ((future,), {}, TypeError, "^expect a list of futures, not Future$"),
            ((coroutine,), {}, TypeError, "^expect a list of futures, not coroutine$"),
            (([],), {}, ValueError, "^Set of Tasks/Futures is empty.$"),
            (([future],), {"return_when": "x"}, ValueError, "^Invalid return_when value: x$"),
            (([future],), {"return_when": None}, ValueError, "^Invalid return_when value: None$"),
            (([future, coroutine],), {}, TypeError, "^Passing coroutines is forbidden, use"),
            ((iter(()),), {}, AssertionError, "^Set of Futures is empty.$"),
            (([future],), {"timeout": "soon"}, TypeError, "str|float"),
        ]:
            waiting = world.api.wait(*arguments, **keywords)
            with pytest.raises(kind, match=message):
                await waiting
        coroutine.close()

    world.run(main())


def test_refuses_only_when_it_runs(world: World) -> None:
    coroutine = world.api.wait([])
    assert coroutine.__qualname__ == "wait"
    coroutine.close()


def test_any_iterable(world: World) -> None:
    async def main() -> Any:
        tasks = [asyncio.ensure_future(give(place)) for place in range(3)]
        done, _ = await world.api.wait(iter([*tasks, *tasks]))
        return done == set(tasks)

    assert world.run(main()) is True


def test_turns(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.set_result(1)
        passed = []
        task = asyncio.ensure_future(world.api.wait([future]))
        while not task.done():
            await turns()
            passed.append(1)
        return len(passed)

    assert world.run(main()) == 3


def test_cycles_are_collected(native_world: World) -> None:
    async def main() -> Any:
        class Marked:
            pass

        marked: Any = Marked()
        gone = weakref.ref(marked)
        future: Any = asyncio.get_running_loop().create_future()
        future.marked = marked
        marked.waiting = native_world.api.wait([future])
        marked.waiting.send(None)
        del marked, future
        gc.collect()
        return gone()

    assert native_world.run(main()) is None


def test_nothing_is_left_behind(native_world: World) -> None:
    async def many() -> None:
        lasting = asyncio.get_running_loop().create_future()
        for _ in range(2_000):
            task = asyncio.ensure_future(give(1))
            first = asyncio.FIRST_COMPLETED
            await native_world.api.wait([lasting, task], timeout=60, return_when=first)
        assert not lasting._callbacks

    assert growth(lambda: native_world.run(many())) < 100
