"""Where a program puts another ``time`` in the place of a loop's, timers go by it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from unittest import mock

import ouroloop
import pytest

from tests.support.loops import Run, turns

BASES: Final[dict[str, type[Any]]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.Loop,
}

FAR: Final = 30.0
"""Seconds that no test waits, fewer than it may take."""


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> type[Any]:
    return BASES[request.param]


def test_an_attribute_that_is_put_there_and_taken_away(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        fired: list[str] = []
        loop.call_later(FAR, fired.append, "near")
        loop.call_later(3 * FAR, fired.append, "far")
        now = loop.time()
        with mock.patch.object(loop, "time", return_value=now + FAR + 1):
            await turns(2)
            assert fired == ["near"]
            loop.call_later(FAR, fired.append, "later")
            await turns(2)
        with mock.patch.object(loop, "time", return_value=now + 2 * FAR + 1):
            await turns(2)
            assert fired == ["near", "later"]
        await turns(2)
        assert fired == ["near", "later"]
        assert loop.time() < now + FAR
        await asyncio.sleep(0.001)

    run(main())


@pytest.mark.parametrize("start", [1.7e12, 1e18])
def test_a_clock_of_milliseconds_or_of_ages(base: type[Any], start: float) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        fired: list[int] = []
        now = start
        with mock.patch.object(loop, "time", side_effect=lambda: now):
            for number in (3, 1, 2):
                loop.call_later(number * 1000.0, fired.append, number)
            assert loop.call_later(5000.0, fired.append, 5).when() == start + 5000.0
            await turns(2)
            assert fired == []
            for number in (1, 2, 3):
                now = start + number * 1000.0 + 500.0
                await turns(2)
                assert fired == list(range(1, number + 1))

    loop = base()
    loop.run_until_complete(main())
    loop.close()


class Virtual:
    """A mixin whose clock the program moves."""

    now = 0.0
    asked = 0

    def time(self) -> float:
        self.asked += 1
        return self.now


def virtual(base: type[Any]) -> Any:
    return type("VirtualLoop", (Virtual, base), {})()


Wait = Callable[[], Any]


async def with_timeout() -> str:
    try:
        async with asyncio.timeout(FAR):
            await asyncio.get_running_loop().create_future()
    except TimeoutError:
        return "late"
    return "never"


async def with_wait_for() -> str:
    try:
        await asyncio.wait_for(asyncio.get_running_loop().create_future(), FAR)
    except TimeoutError:
        return "late"
    return "never"


async def with_wait() -> str:
    future = asyncio.get_running_loop().create_future()
    done, _ = await asyncio.wait([future], timeout=FAR)
    return "never" if done else "late"


async def with_sleep() -> str:
    return await asyncio.sleep(FAR, "late")


WAITS: Final[tuple[Wait, ...]] = (with_timeout, with_wait_for, with_wait, with_sleep)


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("wait", WAITS)
def test_a_derived_class(base: type[Any], wait: Wait, installed: bool) -> None:
    if installed:
        ouroloop.install()
    try:
        loop = virtual(base)
        task = loop.create_task(wait())
        loop.run_until_complete(turns(5))
        loop.now = FAR - 1
        loop.run_until_complete(turns(5))
        assert not task.done()
        loop.now = FAR
        loop.run_until_complete(turns(5))
        assert task.result() == "late"
        loop.close()
    finally:
        if installed:
            ouroloop.uninstall()


def test_a_class_that_is_changed_later(base: type[Any]) -> None:
    derived = type("Derived", (base,), {})
    loop: Any = derived()
    fired: list[int] = []
    loop.call_later(FAR, fired.append, 1)
    now = loop.time()
    loop.run_until_complete(turns())
    with mock.patch.object(derived, "time", return_value=now + FAR + 1):
        loop.run_until_complete(turns())
        assert fired == [1]
        assert loop.time() == now + FAR + 1
    assert loop.time() < now + FAR
    loop.close()


def test_what_it_answers_is_what_timers_are_given(base: type[Any]) -> None:
    class Whole(base):  # type: ignore[misc]
        def time(self) -> int:
            return 5

    loop = Whole()
    handle = loop.call_later(2, int)
    assert handle.when() == 7
    assert type(handle.when()) is int
    loop.close()


def test_an_error_leaves_the_loop_and_loses_no_timer(base: type[Any]) -> None:
    class Failing(Virtual, base):  # type: ignore[misc]
        fails = False

        def time(self) -> float:
            if self.fails:
                raise LookupError("what time is it?")
            return super().time()

    loop: Any = Failing()
    fired: list[int] = []
    loop.call_later(FAR, fired.append, 1)
    loop.run_until_complete(turns())
    loop.now = 2 * FAR
    loop.fails = True
    with pytest.raises(LookupError, match="what time is it"):
        loop.run_forever()
    assert fired == []
    loop.fails = False
    loop.run_until_complete(turns())
    assert fired == [1]
    loop.close()


def test_it_is_asked_twice_a_turn_at_most(base: type[Any]) -> None:
    loop = virtual(base)
    loop.call_later(FAR, int)

    async def count() -> list[int]:
        counts = []
        for _ in range(3):
            before = loop.asked
            await asyncio.sleep(0)
            counts.append(loop.asked - before)
        return counts

    # With something to run, nothing has to be waited for.
    assert loop.run_until_complete(count()) == [1, 1, 1]
    loop.close()


class Faster:
    """A mixin that has every wait be a thousandth, wherever asyncio comes by."""

    asked = 0

    def call_at(self, when: float, *args: Any, **keywords: Any) -> Any:
        self.asked += 1
        parent: Any = super()
        return parent.call_at(parent.time() + (when - parent.time()) / 1000, *args, **keywords)


class Counting:
    """A mixin that counts who waits some seconds."""

    asked = 0

    def call_later(self, *args: Any, **keywords: Any) -> Any:
        self.asked += 1
        parent: Any = super()
        return parent.call_later(*args, **keywords)


async def wait_in_every_way() -> list[int]:
    loop: Any = asyncio.get_running_loop()
    asked = []

    def count() -> None:
        asked.append(loop.asked)
        loop.asked = 0

    done = asyncio.Event()
    loop.call_later(FAR / 100, done.set)
    count()
    await done.wait()
    count()
    await asyncio.sleep(FAR / 100)
    count()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(loop.create_future(), FAR / 100)
    count()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(FAR / 100):
            await loop.create_future()
    count()
    waiting = loop.create_future()
    await asyncio.wait([waiting], timeout=FAR / 100)
    count()
    waiting.cancel()
    return asked


@pytest.mark.parametrize("mixin", [Faster, Counting])
def test_timers_go_by_methods_that_a_class_overrides(
    mixin: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if mixin is Counting:
        monkeypatch.setitem(globals(), "FAR", 1.0)
    asked = []
    for base, installed in ((asyncio.SelectorEventLoop, False), (ouroloop.Loop, True)):
        derived = type("Derived", (mixin, base), {})
        if installed:
            ouroloop.install()
        try:
            loop = derived()
            asked.append(loop.run_until_complete(wait_in_every_way()))
            loop.close()
        finally:
            if installed:
                ouroloop.uninstall()
    assert asked[0] == asked[1]
    assert sum(asked[0]) > 2


@pytest.mark.parametrize("method", ["call_later", "call_at"])
def test_timers_go_by_methods_put_on_the_loop(run: Run, method: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with mock.patch.object(loop, method, wraps=getattr(loop, method)) as spy:
            loop.call_later(FAR, print).cancel()
            assert spy.call_count == 1
            await asyncio.sleep(0.001)
        loop.call_later(FAR, print).cancel()
        assert spy.call_count >= 1

    run(main())
