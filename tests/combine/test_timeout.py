"""``timeout``, ``timeout_at`` and ``Timeout``."""

# What is tested are blocks, inside of what they raise.
# ruff: noqa: PT012, SIM117

import asyncio
import contextvars
import gc
import itertools
import re
import sys
import weakref
from typing import Any

import ouroloop
import pytest

from tests.support.releases import stock_has

from .conftest import World, growth, turns

FAR = 3600.0


def test_in_time(world: World) -> None:
    async def main() -> None:
        async with world.api.timeout(FAR) as timeout:
            await turns()
        assert not timeout.expired()
        assert repr(timeout) == "<Timeout [finished]>"

    world.run(main())


def test_states_and_reprs(world: World) -> None:
    async def main() -> None:
        timeout = world.api.timeout_at(12.34567)
        assert isinstance(timeout, asyncio.Timeout)
        assert repr(timeout) == "<Timeout [created]>"
        assert timeout.when() == 12.34567
        loop = asyncio.get_running_loop()
        timeout = world.api.timeout_at(loop.time() + FAR)
        async with timeout as entered:
            assert entered is timeout
            assert repr(timeout) == f"<Timeout [active] when={round(timeout.when(), 3)}>"
            timeout.reschedule(None)
            assert repr(timeout) == "<Timeout [active] when=None>"
            assert timeout.when() is None
            timeout.reschedule(10**9)
            assert repr(timeout) == "<Timeout [active] when=1000000000>"
        with pytest.raises(TimeoutError):
            async with world.api.timeout(0) as timeout:
                try:
                    await turns(5)
                finally:
                    assert timeout.expired()
                    assert repr(timeout) == "<Timeout [expiring]>"
        assert repr(timeout) == "<Timeout [expired]>"
        assert timeout.expired()

    world.run(main())


@pytest.mark.parametrize("delay", [0.01, 0, -1, 1e-9])
def test_too_late(world: World, delay: float) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        with pytest.raises(TimeoutError) as caught:
            async with world.api.timeout(delay):
                await asyncio.sleep(FAR)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert caught.value.__context__ is caught.value.__cause__
        assert caught.value.args == ()
        assert loop.time() - begin < FAR / 2
        task: Any = asyncio.current_task()
        assert task.cancelling() == 0

    world.run(main())


def test_the_deadline_is_what_was_given(world: World) -> None:
    async def main() -> None:
        when = asyncio.get_running_loop().time() + FAR
        assert world.api.timeout_at(when).when() is when
        assert world.api.timeout_at(None).when() is None
        assert world.api.timeout(None).when() is None
        after = world.api.timeout(10).when()
        assert type(after) is float
        assert abs(after - asyncio.get_running_loop().time() - 10) < 5

    world.run(main())


def test_bad_delays(world: World) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="unsupported operand type"):
            world.api.timeout("x")
        timeout = world.api.timeout_at("x")
        with pytest.raises(TypeError, match="'<=' not supported between instances of 'str'"):
            await timeout.__aenter__()

    world.run(main())


def test_outside_of_a_loop(world: World) -> None:
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        world.api.timeout(1)
    assert world.api.timeout_at(1).when() == 1


def test_outside_of_a_task(world: World) -> None:
    async def main() -> None:
        answer = asyncio.get_running_loop().create_future()

        def enter() -> None:
            try:
                world.api.timeout(1).__aenter__().send(None)
            except RuntimeError as error:
                answer.set_result(str(error))

        asyncio.get_running_loop().call_soon(enter)
        assert await answer == "Timeout should be used inside a task"

    world.run(main())


def test_second_entry(world: World) -> None:
    async def main() -> None:
        timeout = world.api.timeout(FAR)
        async with timeout:
            with pytest.raises(RuntimeError, match=r"^Timeout has already been entered$"):
                await timeout.__aenter__()
        with pytest.raises(RuntimeError, match=r"^Timeout has already been entered$"):
            await timeout.__aenter__()

    world.run(main())


def test_exit_without_entry(world: World) -> None:
    async def main() -> None:
        with pytest.raises(AssertionError):
            await world.api.timeout(1).__aexit__(None, None, None)

    world.run(main())


def test_reschedule_at_the_wrong_time(world: World) -> None:
    async def main() -> None:
        timeout = world.api.timeout(FAR)
        with pytest.raises(RuntimeError, match=r"^Timeout has not been entered$"):
            timeout.reschedule(1)
        async with timeout:
            pass
        with pytest.raises(RuntimeError, match=r"^Cannot change state of finished Timeout$"):
            timeout.reschedule(1)
        with pytest.raises(TimeoutError):
            async with world.api.timeout(0) as timeout:
                try:
                    await turns(5)
                finally:
                    message = r"^Cannot change state of expiring Timeout$"
                    with pytest.raises(RuntimeError, match=message):
                        timeout.reschedule(1)
        with pytest.raises(RuntimeError, match=r"^Cannot change state of expired Timeout$"):
            timeout.reschedule(1)

    world.run(main())


def test_rescheduling(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with world.api.timeout(0) as timeout:
            # What stands in the ready queue already has to do nothing.
            timeout.reschedule(loop.time() + FAR)
            await turns(3)
        async with world.api.timeout(0.001) as timeout:
            timeout.reschedule(None)
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            async with world.api.timeout(FAR) as timeout:
                for _ in range(3):
                    timeout.reschedule(loop.time() + FAR)
                timeout.reschedule(loop.time() - 1)
                await asyncio.sleep(FAR)

    world.run(main())


def test_a_passed_deadline_comes_with_the_next_turn(world: World) -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        loop = asyncio.get_running_loop()
        try:
            loop.call_soon(seen.append, "before")
            async with world.api.timeout(-1):
                loop.call_soon(seen.append, "after")
                await asyncio.sleep(0)
                seen.append("not reached")
        except TimeoutError:
            seen.append("timeout")
        return seen

    assert world.run(main()) == ["before", "after", "timeout"]


def test_left_in_the_turn_in_which_the_deadline_comes(world: World) -> None:
    async def main() -> None:
        async with world.api.timeout(-1):
            pass
        await turns(3)
        task: Any = asyncio.current_task()
        assert task.cancelling() == 0

    world.run(main())


def test_another_cancellation_wins(world: World) -> None:
    async def main() -> None:
        async def block() -> None:
            async with world.api.timeout(0):
                task: Any = asyncio.current_task()
                task.cancel("mine")
                await asyncio.sleep(FAR)

        task = asyncio.ensure_future(block())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == 1

    world.run(main())


def test_a_cancellation_that_was_there_before(world: World) -> None:
    async def main() -> None:
        task: Any = asyncio.current_task()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(FAR)
        assert task.cancelling() == 1
        with pytest.raises(TimeoutError):
            async with world.api.timeout(0):
                await asyncio.sleep(FAR)
        assert task.cancelling() == 1
        task.uncancel()

    world.run(main())


def test_nested(world: World) -> None:
    async def main() -> None:
        inner = outer = None
        with pytest.raises(TimeoutError):
            async with world.api.timeout(0.01) as outer:
                async with world.api.timeout(FAR) as inner:
                    await asyncio.sleep(FAR)
        assert outer is not None
        assert inner is not None
        assert (outer.expired(), inner.expired()) == (True, False)
        async with world.api.timeout(FAR) as outer:
            with pytest.raises(TimeoutError):
                async with world.api.timeout(0.01):
                    await asyncio.sleep(FAR)
        assert not outer.expired()

    world.run(main())


def test_other_exceptions_pass(world: World) -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="other"):
            async with world.api.timeout(FAR):
                raise KeyError("other")
        with pytest.raises(KeyError) as caught:
            async with world.api.timeout(0):
                try:
                    await asyncio.sleep(FAR)
                except asyncio.CancelledError:
                    raise KeyError from None
        kinds = [type(context) for context in contexts(caught.value)]
        covered = [TimeoutError] if sys.version_info >= (3, 13) else []
        assert kinds == [*covered, asyncio.CancelledError]

    world.run(main())


def contexts(error: BaseException) -> list[BaseException]:
    """The chain of an exception's contexts."""
    found = []
    while error.__context__ is not None:
        error = error.__context__
        found.append(error)
    return found


@pytest.mark.parametrize(("before", "ring"), [(0, 1), (0, 2), (1, 3), (5, 3), (40, 7)])
def test_contexts_tied_to_a_ring(before: int, ring: int) -> None:
    """asyncio's own walk never ends."""
    errors = [KeyError(place) for place in range(before + ring)]
    for error, context in itertools.pairwise(errors):
        error.__context__ = context
    errors[-1].__context__ = errors[before]

    async def main() -> None:
        async with ouroloop.timeout(0):
            try:
                await asyncio.sleep(FAR)
            except asyncio.CancelledError:
                raise errors[0] from None

    with pytest.raises(KeyError, match="0"):
        ouroloop.run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="since 3.13")
def test_covered_in_a_group(world: World) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with world.api.timeout(0):
                try:
                    await asyncio.sleep(FAR)
                except asyncio.CancelledError:
                    errors = []
                    for error in (KeyError(), ValueError()):
                        try:
                            raise error
                        except Exception as raised:
                            errors.append(raised)
                    raise ExceptionGroup("two", errors) from None
        for error in (caught.value, *caught.value.exceptions):
            assert [type(context) for context in contexts(error)][:1] == [TimeoutError]
            timeout = contexts(error)[0]
            assert isinstance(timeout.__cause__, asyncio.CancelledError)

    world.run(main())


def test_a_swallowed_cancellation(world: World) -> None:
    async def main() -> None:
        async with world.api.timeout(0) as timeout:
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(FAR)
        assert timeout.expired()
        task: Any = asyncio.current_task()
        assert task.cancelling() == 0

    world.run(main())


def test_a_subclass_of_cancelled_error(world: World) -> None:
    class Special(asyncio.CancelledError):
        pass

    repaired = world.api is not asyncio or stock_has((3, 13, 0))
    expected = TimeoutError if repaired else Special

    async def main() -> None:
        with pytest.raises(expected):
            async with world.api.timeout(0):
                try:
                    await asyncio.sleep(FAR)
                except asyncio.CancelledError:
                    raise Special from None

    world.run(main())


def test_the_exits_are_coroutines(world: World) -> None:
    async def main() -> None:
        timeout = world.api.timeout(FAR)
        enter = timeout.__aenter__()
        assert asyncio.iscoroutine(enter)
        assert enter.__qualname__ == "Timeout.__aenter__"
        assert repr(timeout) == "<Timeout [created]>"
        assert await enter is timeout
        leave = timeout.__aexit__(None, None, None)
        assert leave.__qualname__ == "Timeout.__aexit__"
        assert re.match(r"<Timeout \[active\] when=\d+\.\d+>", repr(timeout))
        assert await leave is None

    world.run(main())


def test_attributes_and_subclasses(world: World) -> None:
    class Loud(world.api.Timeout):  # type: ignore[name-defined, misc]
        calls: tuple[str, ...] = ()

        def reschedule(self, when: float | None) -> None:
            self.calls += ("reschedule",)
            super().reschedule(when)

        def _on_timeout(self) -> None:
            self.calls += ("on_timeout",)
            super()._on_timeout()

    async def main() -> None:
        timeout = world.api.timeout(FAR)
        timeout.note = "mine"
        assert vars(timeout)["note"] == "mine"
        assert weakref.ref(timeout)() is timeout

        loud: Any = Loud(asyncio.get_running_loop().time() - 1)
        assert type(loud) is loud.__class__ is Loud
        with pytest.raises(TimeoutError):
            async with loud:
                await asyncio.sleep(FAR)
        assert loud.calls == ("reschedule", "on_timeout")

    world.run(main())


def test_a_task_of_another_kind(world: World) -> None:
    class Mine(asyncio.Task):  # type: ignore[type-arg]
        cancelled_in: object = None

        def cancel(self, msg: Any = None) -> bool:
            self.cancelled_in = name.get(None)
            return super().cancel(msg)

    name = contextvars.ContextVar[str]("name")

    async def block() -> None:
        name.set("block")
        with pytest.raises(TimeoutError):
            async with world.api.timeout(0.001):
                await asyncio.sleep(FAR)

    async def main() -> None:
        task: Any = Mine(block(), loop=asyncio.get_running_loop())
        await task
        assert task.cancelled_in == "block"

    world.run(main())


def test_debug_mode(world: World) -> None:
    async def main() -> None:
        for delay in (0, 0.001):
            with pytest.raises(TimeoutError):
                async with world.api.timeout(delay):
                    await asyncio.sleep(FAR)

    world.run(main(), debug=True)


def test_cycles_are_collected(native_world: World) -> None:
    gone: list[weakref.ref[Any]] = []

    async def main() -> None:
        class Marker:
            pass

        for entered in (False, True):
            marker: Any = Marker()
            timeout = native_world.api.timeout(FAR)
            timeout.marker, marker.timeout = marker, timeout
            gone.extend((weakref.ref(marker), weakref.ref(timeout)))
            if entered:
                marker.enter = timeout.__aenter__()
                marker.enter.close()
        await turns()

    native_world.run(main())
    gc.collect()
    assert [ref() for ref in gone] == [None] * 4


@pytest.mark.parametrize("delay", [FAR, 0])
def test_leaks_nothing(native_world: World, delay: float) -> None:
    async def main() -> None:
        for _ in range(3000):
            try:
                async with native_world.api.timeout(delay):
                    await asyncio.sleep(0)
            except TimeoutError:
                pass

    def act() -> None:
        native_world.run(main())

    assert growth(act) < 50


def test_recycled_objects_are_new(native_world: World) -> None:
    async def main() -> None:
        create: Any = native_world.api.timeout
        for _ in range(100):
            timeout = create(FAR)
            assert repr(timeout) == "<Timeout [created]>"
            assert vars(timeout) == {}
            assert gc.is_tracked(timeout)
            timeout.mark = 1
            async with timeout:
                pass

    native_world.run(main())


def test_whether_an_alarm_is_set(world: World) -> None:
    async def main() -> Any:
        async with world.api.timeout(None) as never, world.api.timeout(1000) as late:
            return never._timeout_handler is None, late._timeout_handler is None

    assert world.run(main()) == (True, False)
