"""``gather``: results, failures, cancellation, and what its future looks like."""

import asyncio
import gc
import sys
import weakref
from collections.abc import Generator
from typing import Any

import ouroloop
import pytest
from ouroloop import _native

from .conftest import World, growth, turns


async def give(value: Any, after: int = 0) -> Any:
    await turns(after)
    return value


async def fail(error: BaseException, after: int = 0) -> None:
    await turns(after)
    raise error


class Awaitable:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self.value


def test_results_stand_in_the_order_of_the_arguments(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        task = asyncio.ensure_future(give("task", 5))
        return await world.api.gather(
            give("late", 9), future, Awaitable("awaitable"), task, give(1)
        )

    assert world.run(main()) == ["late", "future", "awaitable", "task", 1]


def test_twice_the_same(world: World) -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_result([])
        once = give([])
        answer = await world.api.gather(once, future, once, future)
        return answer[0] is answer[2], answer[1] is answer[3], answer[0] is answer[1]

    assert world.run(main()) == (True, True, False)


def test_nothing_to_wait_for(world: World) -> None:
    async def main() -> Any:
        future = world.api.gather()
        return future.done(), type(future) is type(asyncio.get_running_loop().create_future())

    assert world.run(main()) == (True, True)


def test_first_failure_wins_and_the_others_go_on(world: World) -> None:
    async def main() -> Any:
        error = ValueError("first")
        slow = asyncio.ensure_future(give("slow", 9))
        second = asyncio.ensure_future(fail(KeyError("second"), 5))
        with pytest.raises(ValueError, match=r"^first$") as raised:
            await world.api.gather(slow, fail(error, 3), second)
        assert raised.value is error
        assert not slow.done()
        assert await slow == "slow"
        return second.done()

    # The exception of the second one counts as looked at: the world reports nothing.
    assert world.run(main()) is True


def test_failures_as_results(world: World) -> None:
    async def main() -> Any:
        error = ValueError()
        cancelled = asyncio.ensure_future(give(0, 9))
        said = asyncio.ensure_future(give(0, 9))
        outer = world.api.gather(fail(error), give(2), cancelled, said, return_exceptions=True)
        await turns(2)
        cancelled.cancel()
        said.cancel("why")
        answer = await outer
        assert answer[0] is error
        return answer[1], type(answer[2]), answer[2].args, answer[3].args

    assert world.run(main()) == (2, asyncio.CancelledError, ("",), ("",))


def test_a_child_is_cancelled(world: World) -> None:
    async def main() -> Any:
        child = asyncio.ensure_future(give(0, 9))
        other = asyncio.ensure_future(give(1, 3))
        outer = world.api.gather(child, other)
        await turns()
        child.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as raised:
            await outer
        return (
            raised.value.args,
            outer.cancelled(),
            isinstance(outer.exception(), asyncio.CancelledError),
            await other,
        )

    assert world.run(main()) == (("enough",), False, True, 1)


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_cancel(world: World, return_exceptions: bool) -> None:
    async def main() -> Any:
        children = [asyncio.ensure_future(give(0, 9)) for _ in range(3)]
        outer = world.api.gather(*children, return_exceptions=return_exceptions)
        await turns()
        assert not outer._cancel_requested
        assert outer.cancel("stop")
        assert outer._cancel_requested
        assert not outer.done()
        with pytest.raises(asyncio.CancelledError) as raised:
            await outer
        assert not outer.cancel()
        return [child.cancelled() for child in children], raised.value.args

    assert world.run(main()) == ([True] * 3, ("stop",))


def test_cancelling_the_task_that_gathers(world: World) -> None:
    async def main() -> Any:
        children: list[asyncio.Task[Any]] = []

        async def work() -> None:
            children.extend(asyncio.ensure_future(give(0, 9)) for _ in range(2))
            await world.api.gather(*children)

        task = asyncio.ensure_future(work())
        await turns(3)
        task.cancel("stop")
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled(), [child.cancelled() for child in children]

    assert world.run(main()) == (True, [True, True])


def test_cancel_when_every_child_is_done(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        children = [loop.create_future() for _ in range(2)]
        outer = world.api.gather(*children)
        for child in children:
            child.set_result(1)
        refused = outer.cancel()
        return refused, await outer

    assert world.run(main()) == (False, [1, 1])


def test_done_at_once(world: World) -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_result(1)
        outer = world.api.gather(future, future)
        return outer.done(), await outer

    assert world.run(main()) == (sys.version_info >= (3, 12), [1, 1])


def test_turns_until_it_is_done(world: World) -> None:
    async def main() -> Any:
        outer = world.api.gather(give(1), give(2))
        seen = []
        for _ in range(4):
            seen.append(outer.done())
            await turns()
        return seen

    assert world.run(main()) == [False, False, True, True]


def test_futures_of_two_loops(world: World) -> None:
    other = world.factory()
    foreign = other.create_future()

    async def main() -> Any:
        own = asyncio.get_running_loop().create_future()
        with pytest.raises(
            ValueError, match=r"^The future belongs to a different loop than the one"
        ):
            world.api.gather(own, foreign)

    world.run(main())
    other.close()


def test_what_cannot_be_awaited(world: World) -> None:
    async def main() -> Any:
        ran = []

        async def first() -> None:
            ran.append(1)

        message = "^An asyncio.Future, a coroutine or an awaitable is required$"
        with pytest.raises(TypeError, match=message):
            world.api.gather(first(), 3)
        with pytest.raises(TypeError, match=r"unhashable"):
            world.api.gather(give(1), [])
        with pytest.raises(TypeError, match=r"unhashable"):
            world.api.gather([])
        await turns(3)
        return ran

    assert world.run(main()) == [1]


def test_failing_half_way_leaves_no_report(world: World) -> None:
    async def main() -> Any:
        with pytest.raises(TypeError):
            world.api.gather(fail(ValueError()), 3)
        await turns(3)

    world.run(main())


def test_stop_iteration_is_reported(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        reports: list[Any] = []
        loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))

        class Child(asyncio.Future[None]):
            def exception(self) -> Any:
                return StopIteration()

        child = Child()
        outer = world.api.gather(child)
        child.set_result(None)
        await turns(2)
        if sys.version_info >= (3, 13):
            return isinstance(outer.exception(), RuntimeError), reports
        outer.cancel()
        return not outer.done() and isinstance(reports[0], TypeError), []

    assert world.run(main()) == (True, [])


def test_looks(world: World) -> None:
    async def main() -> Any:
        outer = world.api.gather(give(1), give(2))
        shown = repr(outer)
        assert isinstance(outer, asyncio.Future)
        assert asyncio.isfuture(outer)
        assert outer.get_loop() is asyncio.get_running_loop()
        assert len(outer._children) == 2
        outer.mark = 1
        assert outer.mark == 1
        assert outer.__class__ is asyncio.tasks._GatheringFuture  # type: ignore[attr-defined]
        done = await outer, repr(outer)
        return shown.startswith("<_GatheringFuture pending"), done

    assert world.run(main()) == (True, ([1, 2], "<_GatheringFuture finished result=[1, 2]>"))


def test_unretrieved_failure_is_reported(world: World) -> None:
    async def main() -> Any:
        reports: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context["message"]))
        outer = world.api.gather(fail(ValueError()))
        await turns(3)
        del outer
        gc.collect()
        return reports

    assert world.run(main()) == ["_GatheringFuture exception was never retrieved"]


def test_outside_of_a_loop(world: World) -> None:
    if sys.version_info >= (3, 14):
        with pytest.raises(RuntimeError, match=r"^There is no current event loop in thread"):
            world.api.gather()
        return
    loop = world.factory()
    asyncio.set_event_loop(loop)
    try:
        outer = world.api.gather(give(1), give(2))
        assert outer.get_loop() is loop
        assert loop.run_until_complete(outer) == [1, 2]
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_task_factory_and_debug_mode(world: World) -> None:
    async def main() -> Any:
        made = []

        def factory(loop: Any, coro: Any, **keywords: Any) -> Any:
            made.append(coro)
            return asyncio.Task(coro, loop=loop, **keywords)

        loop: Any = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        answer = await world.api.gather(give(1), give(2))
        return len(made), answer

    assert world.run(main(), debug=True) == (2, [1, 2])


def test_deep_cancellation(world: World) -> None:
    async def nest(depth: int) -> None:
        if depth:
            await world.api.gather(nest(depth - 1))
        else:
            await asyncio.get_running_loop().create_future()

    async def main() -> Any:
        task = asyncio.ensure_future(nest(50))
        await turns(120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert world.run(main()) is True


def test_endless_cancellation_is_an_error() -> None:
    async def nest(depth: int) -> None:
        if depth:
            await _native.gather(nest(depth - 1))
        else:
            await asyncio.get_running_loop().create_future()

    async def main() -> None:
        task = asyncio.ensure_future(nest(200_000))
        await turns(400_010)
        with pytest.raises(RecursionError):
            task.cancel()

    loop = ouroloop.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.run_until_complete(main())
    loop.close()


def test_cycles_are_collected(native_world: World) -> None:
    async def main() -> Any:
        class Marked:
            outer: Any

        marked = Marked()
        gone = weakref.ref(marked)
        child = asyncio.get_running_loop().create_future()
        marked.outer = native_world.api.gather(child, return_exceptions=True)
        child.marked = marked  # type: ignore[attr-defined]
        del marked, child
        gc.collect()
        return gone()

    assert native_world.run(main()) is None


def test_nothing_is_left_behind(native_world: World) -> None:
    async def many() -> None:
        for _ in range(2_000):
            await native_world.api.gather(give(1), give(2), return_exceptions=True)
            with pytest.raises(ValueError, match=r"^$"):
                await native_world.api.gather(fail(ValueError()), give(2))

    def act() -> None:
        native_world.run(many())

    assert growth(act) < 100
