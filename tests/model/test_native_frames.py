"""Native coroutines show frames to whoever looks: inspect, stacks of tasks, debuggers."""

import asyncio
import gc
import inspect
import io
import sys
import types
import warnings
import weakref
from typing import Any

import ouroloop
import pytest

from .conftest import Reports

Loop = asyncio.AbstractEventLoop


def names(frames: list[types.FrameType]) -> list[str]:
    return [frame.f_code.co_name for frame in frames]


def chain(coroutine: Any) -> list[str]:
    """Names of the coroutines from one down to what waits at the bottom."""
    found = []
    while getattr(coroutine, "cr_frame", None) is not None:
        found.append(coroutine.cr_frame.f_code.co_name)
        coroutine = coroutine.cr_await
    return found


def test_states(loop: Loop) -> None:
    async def main() -> None:
        event = ouroloop.Event()
        coroutine: Any = event.wait()
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
        coroutine.send(None)
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_SUSPENDED
        assert inspect.getcoroutinelocals(coroutine) == {}
        coroutine.close()
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
        assert coroutine.cr_frame is None

    loop.run_until_complete(main())


def test_frame_and_code(loop: Loop, reports: Reports) -> None:
    coroutine: Any = loop.shutdown_asyncgens()
    frame, code = coroutine.cr_frame, coroutine.cr_code
    assert isinstance(frame, types.FrameType)
    assert frame is coroutine.cr_frame
    assert frame.f_back is None
    assert frame.f_code is code
    assert (code.co_name, code.co_qualname) == (coroutine.__name__, coroutine.__qualname__)
    assert code.co_flags & inspect.CO_COROUTINE
    coroutine.close()
    assert coroutine.cr_frame is None
    assert coroutine.cr_code is code
    assert reports.messages == []


def test_never_awaited_once(loop: Loop) -> None:
    coroutine: Any = loop.shutdown_asyncgens()
    assert coroutine.cr_frame is not None
    kept = [coroutine]
    del coroutine
    with pytest.warns(RuntimeWarning, match="was never awaited") as caught:
        kept.clear()
    gc.collect()
    assert len(caught) == 1


def test_frame_outlives_its_coroutine(loop: Loop) -> None:
    coroutine: Any = loop.shutdown_asyncgens()
    frame = coroutine.cr_frame
    gone = weakref.ref(coroutine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del coroutine
    assert gone() is None
    assert frame.f_code.co_name == "shutdown_asyncgens"
    other: Any = loop.shutdown_default_executor()
    assert other.cr_frame.f_code.co_name == "shutdown_default_executor"
    other.close()


def test_stack_of_a_task(loop: Loop) -> None:
    async def main() -> None:
        event = ouroloop.Event()
        task: Any = asyncio.ensure_future(event.wait())
        await asyncio.sleep(0)
        assert names(task.get_stack()) == ["wait"]
        assert task.get_stack(limit=0) == []
        text = io.StringIO()
        task.print_stack(file=text)
        assert text.getvalue().startswith(f"Stack for {task!r} (most recent call last):\n")
        assert 'File "<ouroloop>", line ' in text.getvalue()
        assert "coro=<Event.wait() running at <ouroloop>:" in repr(task)
        event.set()
        await task
        assert task.get_stack() == []
        assert "coro=<Event.wait() done, defined at <ouroloop>:" in repr(task)

    loop.run_until_complete(main())


def test_chain_through_combinators(loop: Loop) -> None:
    api: Any = ouroloop

    async def bottom(event: Any) -> None:
        await event.wait()

    async def group(event: Any) -> None:
        async with api.TaskGroup() as tasks:
            tasks.create_task(bottom(event))

    async def completed(event: Any) -> None:
        for each in api.as_completed([bottom(event)]):
            await each

    async def main() -> None:
        event = api.Event()
        waited = api.ensure_future(api.wait([api.ensure_future(bottom(event))]))
        limited = api.ensure_future(api.wait_for(bottom(event), 5))
        grouped = api.ensure_future(group(event))
        first = api.ensure_future(completed(event))
        for _ in range(3):
            await asyncio.sleep(0)
        assert chain(waited.get_coro()) == ["wait", "_wait"]
        if sys.version_info >= (3, 12):
            assert chain(limited.get_coro()) == ["wait_for", "bottom", "wait"]
        leaving = ["_aexit"] if sys.version_info >= (3, 14) else []
        assert chain(grouped.get_coro()) == ["group", "__aexit__", *leaving]
        assert chain(first.get_coro()) == ["completed", "_wait_for_one", "get"]
        event.set()
        await api.gather(waited, limited, grouped, first)

    loop.run_until_complete(main())
