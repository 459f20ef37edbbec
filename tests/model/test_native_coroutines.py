"""Coroutines whose body is Rust behave as those of Python."""

import asyncio
import collections.abc
import gc
import inspect
import threading
import warnings
from typing import Any

import pytest

from .conftest import Reports, turn

Loop = asyncio.AbstractEventLoop

MAKERS: dict[str, Any] = {
    "shutdown_asyncgens": lambda loop: loop.shutdown_asyncgens(),
    "shutdown_default_executor": lambda loop: loop.shutdown_default_executor(),
    "create_server": lambda loop: loop.create_server(asyncio.Protocol, "127.0.0.1", 0),
    "create_connection": lambda loop: loop.create_connection(asyncio.Protocol, "127.0.0.1", 9),
}


@pytest.fixture(params=MAKERS)
def coroutine(request: pytest.FixtureRequest, loop: Loop) -> Any:
    """A coroutine of the loop's that has not started."""
    return MAKERS[request.param](loop)


def test_is_a_coroutine(coroutine: Any) -> None:
    known: Any = asyncio.iscoroutine(coroutine), inspect.isawaitable(coroutine)
    assert known == (True, True)
    assert isinstance(coroutine, collections.abc.Coroutine)
    # What asks whether to iterate or to await takes these for something else.
    for other in (collections.abc.Iterable, collections.abc.Iterator, collections.abc.Generator):
        assert not isinstance(coroutine, other)
    assert coroutine.__name__ in MAKERS
    assert coroutine.__qualname__.endswith(f".{coroutine.__name__}")
    assert repr(coroutine).startswith(f"<coroutine object {coroutine.__qualname__} at 0x")
    assert coroutine.cr_running is False
    coroutine.close()


@pytest.mark.parametrize("name", MAKERS)
def test_never_awaited(loop: Loop, name: str) -> None:
    coroutine = MAKERS[name](loop)
    message = f"^coroutine '{coroutine.__qualname__}' was never awaited"
    kept = [coroutine]
    del coroutine
    with pytest.warns(RuntimeWarning, match=message) as caught:
        kept.clear()
    assert len(caught) == 1


def test_close_before_the_start(coroutine: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coroutine.close()
        coroutine.close()
    with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
        coroutine.send(None)


def test_throw_before_the_start(coroutine: Any) -> None:
    with pytest.raises(KeyError, match="thrown"):
        coroutine.throw(KeyError("thrown"))
    with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
        coroutine.send(None)
    with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
        coroutine.throw(KeyError("again"))


def test_throw_of_what_is_no_exception(coroutine: Any) -> None:
    with pytest.raises(TypeError, match="exceptions must be classes or instances deriving from"):
        coroutine.throw(1)
    coroutine.close()


def test_send_to_a_fresh_one(coroutine: Any) -> None:
    message = r"^can't send non-None value to a just-started coroutine$"
    with pytest.raises(TypeError, match=message):
        coroutine.send(1)
    coroutine.close()


def test_awaiting_twice(loop: Loop) -> None:
    coroutine: Any = loop.shutdown_asyncgens()

    async def main() -> None:
        assert await coroutine is None
        with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
            await coroutine

    loop.run_until_complete(main())


def test_cancelled_while_suspended(loop: Loop) -> None:
    """The executor's threads are busy; the coroutine that waits for them is cancelled."""
    release = threading.Event()
    busy = loop.run_in_executor(None, release.wait, 10)
    shutdown = loop.shutdown_default_executor()

    async def main() -> None:
        task = asyncio.ensure_future(shutdown)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert "shutdown_default_executor" in repr(task)
        # Up to 3.12 the coroutine joins its thread even so, and holds the loop until then.
        threading.Timer(0.02, release.set).start()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())
    assert loop.run_until_complete(busy)


def test_closed_while_suspended(loop: Loop, reports: Reports) -> None:
    coroutine: Any = loop.create_connection(asyncio.Protocol, "localhost", 9)

    async def main() -> None:
        awaited = coroutine.send(None)
        assert asyncio.isfuture(awaited)
        coroutine.close()
        with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
            coroutine.send(None)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    turn(loop)
    gc.collect()
    assert reports.messages == []


def test_as_a_task(loop: Loop) -> None:
    task = loop.create_task(loop.shutdown_asyncgens(), name="native")
    assert "shutdown_asyncgens()" in repr(task)
    assert isinstance(task.get_stack(), list)
    task.print_stack(file=None)
    assert loop.run_until_complete(task) is None


def test_as_a_task_that_fails(loop: Loop) -> None:
    task = loop.create_task(loop.create_server(asyncio.Protocol, "not a host name", 0))
    with pytest.raises(OSError, match=r"Name or service not known|Temporary failure|not known"):
        loop.run_until_complete(task)
    assert isinstance(task.exception(), OSError)
    loop.run_until_complete(loop.shutdown_default_executor())


def test_gathered(loop: Loop) -> None:
    async def main() -> None:
        both: Any = asyncio.gather(loop.shutdown_asyncgens(), loop.shutdown_default_executor())
        assert await both == [None, None]
        await asyncio.wait_for(loop.shutdown_asyncgens(), 5)

    loop.run_until_complete(main())
