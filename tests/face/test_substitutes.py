"""Classes that a program puts in the place of asyncio's are those that loops make."""

import asyncio
from collections.abc import Iterator
from typing import Any

import ouroloop
import pytest

from tests.support.loops import FACTORIES, Run, runner_of

PyTask: Any = asyncio.tasks._PyTask  # type: ignore[attr-defined]
PyFuture: Any = asyncio.futures._PyFuture  # type: ignore[attr-defined]

# Before 3.12 both kinds of tasks share one account.
CURRENT_TASK = getattr(asyncio.tasks, "_py_current_task", asyncio.tasks.current_task)


@pytest.fixture(params=FACTORIES)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on a new loop: once stock asyncio's, once ours."""
    return runner_of(FACTORIES[request.param])


@pytest.fixture
def installed() -> Iterator[None]:
    """asyncio's names are native."""
    ouroloop.install()
    yield
    ouroloop.uninstall()


@pytest.fixture(params=["loop only", "installed"])
def way(request: pytest.FixtureRequest) -> str:
    """Both ways to use a native loop."""
    if request.param == "installed":
        request.getfixturevalue("installed")
    return request.param


class Marked(PyTask):  # type: ignore[misc]
    """A task of a program's own."""


def test_tasks(run: Run, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def child() -> str:
        await asyncio.sleep(0)
        return "done"

    async def main() -> None:
        monkeypatch.setattr(asyncio.tasks, "Task", Marked)
        monkeypatch.setattr(asyncio.tasks, "current_task", CURRENT_TASK)
        loop = asyncio.get_running_loop()
        named: Any = loop.create_task(child(), name="named")
        assert type(named) is Marked
        assert named.get_name() == "named"
        assert type(asyncio.create_task(child())) is Marked
        assert type(asyncio.ensure_future(child())) is Marked
        assert await asyncio.gather(named, child()) == ["done", "done"]
        # What runs in a substitute finds itself.
        assert await loop.create_task(inner()) == ["done"]
        monkeypatch.undo()
        assert type(loop.create_task(child())) is not Marked
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def inner() -> list[str]:
        assert type(asyncio.tasks.current_task()) is Marked
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            task = group.create_task(child())
        assert type(task) is Marked
        return [task.result()]

    run(main())


def test_futures(run: Run, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Future(PyFuture):  # type: ignore[misc]
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(asyncio.futures, "Future", Future)
        future = loop.create_future()
        assert type(future) is Future
        assert future.get_loop() is loop
        loop.call_soon(future.set_result, 5)
        assert await future == 5
        monkeypatch.undo()
        assert type(loop.create_future()) is not Future

    run(main())


def test_what_the_class_raises(run: Run, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise LookupError("no task today")

    async def never() -> None:
        raise AssertionError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(asyncio.tasks, "Task", refuse)
        coroutine = never()
        with pytest.raises(LookupError, match=r"^no task today$"):
            await loop.create_task(coroutine)
        coroutine.close()
        monkeypatch.undo()

    run(main())
