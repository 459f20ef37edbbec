"""``sleep``."""

import asyncio
import contextvars
import gc
import sys
import weakref
from fractions import Fraction
from typing import Any

import pytest

from .conftest import World, growth, turns


def test_result(world: World) -> None:
    async def main() -> None:
        assert await world.api.sleep(0) is None
        assert await world.api.sleep(0, "zero") == "zero"
        assert await world.api.sleep(-1, "past") == "past"
        assert await world.api.sleep(1e-6, result="later") == "later"
        assert await world.api.sleep(delay=False, result="no") == "no"

    world.run(main())


def test_nothing_happens_before_the_first_step(world: World) -> None:
    for bad in ("x", None, float("nan")):
        world.api.sleep(bad).close()


def test_sleep_zero_is_one_turn(world: World) -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def step(name: str) -> None:
            for number in range(3):
                seen.append(f"{name}{number}")
                await world.api.sleep(0)

        await asyncio.gather(step("a"), step("b"))
        return seen

    assert world.run(main()) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_sleep_zero_by_hand(world: World) -> None:
    sleep = world.api.sleep(0, "done")
    assert sleep.send(None) is None
    with pytest.raises(StopIteration) as stop:
        sleep.send(None)
    assert stop.value.value == "done"

    sleep = world.api.sleep(0)
    sleep.send(None)
    with pytest.raises(KeyError, match="thrown"):
        sleep.throw(KeyError("thrown"))


def test_time_passes(world: World) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await world.api.sleep(0.02)
        return loop.time() - begin

    assert world.run(main()) >= 0.019


def test_wakes_in_order_of_the_deadlines(world: World) -> None:
    async def main() -> list[float]:
        woken: list[float] = []

        async def wake(delay: float) -> None:
            woken.append(await world.api.sleep(delay, delay))

        await asyncio.gather(*map(wake, (0.03, 0.01, 0.02, 0)))
        return woken

    assert world.run(main()) == [0, 0.01, 0.02, 0.03]


@pytest.mark.parametrize("delay", ["1", None, [], 1j])
def test_bad_delay(world: World, delay: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match=r"^'<=' not supported between instances of "):
            await world.api.sleep(delay)

    world.run(main())


def test_too_large_a_delay(world: World) -> None:
    async def main() -> None:
        with pytest.raises(OverflowError, match="int too large to convert to float"):
            await world.api.sleep(10**400)
        assert await world.api.sleep(-(10**400), "past") == "past"

    world.run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="refused since 3.13")
def test_nan(world: World) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=r"^Invalid delay: NaN \(not a number\)$"):
            await world.api.sleep(float("nan"))

    world.run(main())


def test_other_numbers(world: World) -> None:
    async def main() -> None:
        assert await world.api.sleep(Fraction(1, 1000), "fraction") == "fraction"
        assert await world.api.sleep(Fraction(0), "nothing") == "nothing"

    world.run(main())


def test_outside_of_a_loop(world: World) -> None:
    sleep = world.api.sleep(1)
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        sleep.send(None)


def test_cancellation(world: World) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(world.api.sleep(3600))
        await turns()
        assert "wait_for=<Future pending" in repr(task)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(main())


def test_a_cancelled_sleep_lets_go_of_its_result(world: World) -> None:
    class Marker:
        pass

    async def main() -> None:
        marker = Marker()
        gone = weakref.ref(marker)
        task = asyncio.ensure_future(world.api.sleep(3600, marker))
        await turns()
        del marker
        assert gone() is not None
        task.cancel()
        await asyncio.wait([task])
        del task
        await turns()
        if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
            return  # The stock loop keeps a cancelled timer until its time has come.
        gc.collect()
        assert gone() is None

    world.run(main())


def test_closed_while_it_sleeps(world: World) -> None:
    async def main() -> None:
        sleep = world.api.sleep(3600)
        sleep.send(None)
        sleep.close()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            sleep.send(None)

    world.run(main())


def test_someone_else_ends_the_future(world: World) -> None:
    async def main() -> None:
        task: Any = asyncio.ensure_future(world.api.sleep(3600, "own"))
        await turns()
        task._fut_waiter.set_result("other")
        assert await task == "other"

    world.run(main())


def test_stepped_too_early(world: World) -> None:
    async def main() -> None:
        sleep = world.api.sleep(3600)
        sleep.send(None)
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            sleep.send(None)

    world.run(main())


def test_context(world: World) -> None:
    name = contextvars.ContextVar[str]("name")

    async def main() -> None:
        name.set("main")
        await world.api.sleep(0)
        assert name.get() == "main"
        await world.api.sleep(1e-6)
        assert name.get() == "main"

    world.run(main())


def test_debug_mode(world: World) -> None:
    async def main() -> None:
        assert await world.api.sleep(0, 1) == 1
        assert await world.api.sleep(1e-6, 2) == 2

    world.run(main(), debug=True)


def test_a_cycle_through_the_result_is_collected(native_world: World) -> None:
    class Bag(list[Any]):
        pass

    for steps in range(2):
        bag = Bag()
        gone = weakref.ref(bag)
        coroutine = native_world.api.sleep(0, bag)
        bag.append(coroutine)
        if steps:
            coroutine.send(None)
            del coroutine, bag
        else:
            del bag
            coroutine.close()
            del coroutine
        gc.collect()
        assert gone() is None


def test_a_cycle_while_it_sleeps_is_collected(native_world: World) -> None:
    class Bag(list[Any]):
        pass

    async def main() -> "weakref.ref[Bag]":
        bag = Bag()
        coroutine = native_world.api.sleep(3600, bag)
        bag.extend((coroutine, coroutine.send(None)))
        return weakref.ref(bag)

    gone = native_world.run(main())
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("delay", [0, 1e-9])
def test_leaks_nothing(native_world: World, delay: float) -> None:
    result = object()
    before = sys.getrefcount(result)

    async def main() -> None:
        for _ in range(20_000):
            await native_world.api.sleep(delay, result)

    def act() -> None:
        native_world.run(main())

    assert growth(act) < 50
    assert sys.getrefcount(result) == before


def test_cancelled_sleeps_leak_nothing(native_world: World) -> None:
    result = object()
    before = sys.getrefcount(result)

    async def main() -> None:
        for _ in range(5000):
            sleep = native_world.api.sleep(3600, result)
            sleep.send(None)
            sleep.close()

    def act() -> None:
        native_world.run(main())

    assert growth(act) < 50
    assert sys.getrefcount(result) == before
