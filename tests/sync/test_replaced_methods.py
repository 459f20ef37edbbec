"""Methods that a program has replaced are called, and locks of any kind serve a condition."""

import asyncio
from typing import Any

import pytest

from .conftest import Side, turns


@pytest.mark.parametrize("name", ["Lock", "Semaphore", "BoundedSemaphore"])
def test_async_with_calls_the_methods_of_a_derived_class(side: Side, name: str) -> None:
    calls = []

    class Derived(getattr(side, name)):  # type: ignore[misc]
        async def acquire(self) -> bool:
            calls.append("acquire")
            await asyncio.sleep(0)
            return await super().acquire()  # type: ignore[no-any-return]

        def release(self) -> None:
            calls.append("release")
            super().release()

    async def main() -> None:
        thing = Derived()
        async with thing as entered:
            assert entered is None
            assert thing.locked()
        assert not thing.locked()

    side.run(main())
    assert calls == ["acquire", "release"]


def test_async_with_calls_the_methods_set_on_a_lock(side: Side) -> None:
    async def main() -> list[str]:
        lock = side.Lock()
        calls = []

        async def acquire() -> None:
            calls.append("acquire")

        lock.acquire = acquire
        lock.release = lambda: calls.append("release")
        async with lock:
            assert not lock.locked()
        return calls

    assert side.run(main()) == ["acquire", "release"]


def test_semaphore_asks_its_own_locked(side: Side) -> None:
    class Closed(side.Semaphore):  # type: ignore[misc]
        def locked(self) -> bool:
            return True

    async def main() -> None:
        semaphore = Closed(5)
        assert repr(semaphore).endswith("[locked]>")
        acquiring = asyncio.create_task(semaphore.acquire())
        await turns(2)
        assert not acquiring.done()
        semaphore.release()
        assert await acquiring

    side.run(main())


def test_condition_of_a_derived_class(side: Side) -> None:
    calls = []

    class Derived(side.Condition):  # type: ignore[misc]
        async def wait(self) -> bool:
            calls.append("wait")
            return await super().wait()  # type: ignore[no-any-return]

        def notify(self, n: int = 1) -> None:
            calls.append(f"notify {n}")
            super().notify(n)

    async def main() -> None:
        condition = Derived()
        ready = False

        async def wait() -> None:
            async with condition:
                await condition.wait_for(lambda: ready)

        waiting = asyncio.create_task(wait())
        await turns(2)
        async with condition:
            ready = True
            condition.notify_all()
        await waiting

    side.run(main())
    assert calls == ["wait", "notify 1"]


class Door:
    """A lock of the program's own."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._shut = False

    def locked(self) -> bool:
        return self._shut

    async def acquire(self) -> str:
        self.calls.append("acquire")
        while self._shut:
            await asyncio.sleep(0)
        self._shut = True
        return "acquired"

    def release(self) -> None:
        self.calls.append("release")
        self._shut = False


def test_condition_with_any_lock(side: Side) -> None:
    async def main() -> list[str]:
        door = Door()
        condition = side.Condition(door)
        assert condition._lock is door
        assert await condition.acquire() == "acquired"
        condition.release()

        async def wait() -> bool:
            async with condition:
                return await condition.wait()  # type: ignore[no-any-return]

        waiting = asyncio.create_task(wait())
        await turns(2)
        assert not condition.locked()
        async with condition:
            condition.notify()
            assert repr(condition).endswith("[locked, waiters:1]>")
        assert await waiting is True
        return door.calls

    assert side.run(main()) == ["acquire", "release"] * 4


def test_condition_keeps_the_methods_that_its_lock_had(side: Side) -> None:
    async def main() -> list[str]:
        door = Door()
        condition = side.Condition(door)
        door.acquire = None  # type: ignore[assignment,method-assign]
        async with condition:
            pass
        return door.calls

    assert side.run(main()) == ["acquire", "release"]


def test_methods_set_on_a_condition(side: Side) -> None:
    condition = side.Condition()
    calls = []
    condition.locked = lambda: calls.append("locked") or True
    condition.notify()
    condition.notify_all()
    assert calls == ["locked", "locked"]


def test_conditions_share_a_lock(side: Side) -> None:
    async def main() -> list[str]:
        lock = side.Lock()
        full, empty = side.Condition(lock), side.Condition(lock)
        course = []

        async def wait(name: str, condition: Any) -> None:
            async with condition:
                await condition.wait()
                course.append(name)

        tasks = [asyncio.create_task(wait("full", full)), asyncio.create_task(wait("empty", empty))]
        await turns(2)
        for condition in (empty, full):
            async with lock:
                condition.notify()
            await turns(3)
        for task in tasks:
            await task
        return course

    assert side.run(main()) == ["empty", "full"]


def test_condition_needs_a_lock(side: Side) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'locked'"):
        side.Condition(object())


def test_predicate_may_raise(side: Side) -> None:
    async def main() -> None:
        condition = side.Condition()
        async with condition:
            with pytest.raises(ZeroDivisionError):
                await condition.wait_for(lambda: 1 // 0)
            assert await condition.wait_for(lambda: "truth") == "truth"
            assert condition.locked()

    side.run(main())


def test_barrier_of_a_derived_class(side: Side) -> None:
    class Derived(side.Barrier):  # type: ignore[misc]
        async def wait(self) -> Any:
            return "waited", await super().wait()

    async def main() -> Any:
        async with Derived(1) as entered:
            return entered

    assert side.run(main()) == ("waited", 0)
