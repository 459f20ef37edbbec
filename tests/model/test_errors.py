"""Exception handlers and debug mode, in asyncio's own words."""

import asyncio
import contextlib
import gc
import logging
import re
import socket
import sys
import threading
import time
from typing import Any

import pytest

from tests.support.loops import FACTORIES, Factory

from .conftest import Reports, turn

Loop = asyncio.AbstractEventLoop


def fail(*_: object) -> None:
    raise KeyError("x")


class SubFuture(asyncio.Future[Any]):
    """A standard future with another name."""


def neutral(text: str) -> str:
    """Return ``text`` without what differs from run to run and between loop classes."""
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = re.sub(r"Task-\d+", "Task-N", text)
    text = re.sub(r"created at [^ ]+\.py:\d+", "created at FILE", text)
    text = re.sub(r"\d+\.\d+", "N", text)
    return re.sub(r"<(_UnixSelectorEventLoop|Loop) ", "<Loop ", text)


def scenario(loop: Loop, kind: str) -> None:
    """Cause one report."""

    async def main() -> None:
        fail()

    async def wait() -> None:
        await loop.create_future()

    match kind:
        case "soon":
            loop.call_soon(fail, 1)
        case "later":
            loop.call_later(0, fail, 1)
        case "done":
            future = SubFuture(loop=loop)
            future.add_done_callback(fail)
            future.set_result(1)
        case "future":
            loop.create_future().set_exception(KeyError("x"))
        case "task":
            loop.create_task(main())
            turn(loop, 2)
        case "pending":
            loop.create_task(wait())
            turn(loop, 1)
        case "bare":
            loop.call_exception_handler({"message": "said", "b": 1, "a": [2]})
        case _:
            loop.call_exception_handler({"message": "", "exception": KeyError("x")})
    turn(loop, 2)
    gc.collect()


KINDS = ["soon", "later", "done", "future", "task", "pending", "bare", "silent"]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_contexts_are_asyncios(kind: str, *, debug: bool) -> None:
    found: dict[str, Any] = {}
    for name, factory in FACTORIES.items():
        loop, reports = factory(), Reports()
        loop.set_exception_handler(reports)
        loop.set_debug(debug)
        scenario(loop, kind)
        loop.close()
        messages = [neutral(message) for message in reports.messages]
        found[name] = messages, reports.keys, [repr(error) for error in reports.exceptions]
    assert found["ouroloop"] == found["asyncio"]
    assert len(found["asyncio"][0]) == 1


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_logged_texts_are_asyncios(
    kind: str, caplog: pytest.LogCaptureFixture, *, debug: bool
) -> None:
    found: dict[str, list[str]] = {}
    for name, factory in FACTORIES.items():
        loop = factory()
        loop.set_debug(debug)
        caplog.clear()
        scenario(loop, kind)
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        loop.close()
        assert len(errors) == 1
        assert bool(errors[0].exc_info) == (kind not in {"bare", "pending"})
        # A stack shows the lines of the loop's own module where that is Python.
        lines = neutral(errors[0].getMessage()).splitlines()
        found[name] = [line for line in lines if not line.startswith("  ")]
    assert found["ouroloop"] == found["asyncio"]


def test_a_handler_that_raises(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_exception_handler(fail)
    loop.call_soon(int, "no number")
    turn(loop)
    assert caplog.messages[0].startswith("Unhandled error in exception handler\ncontext: {")
    assert "no number" in caplog.messages[0]
    assert loop.run_until_complete(asyncio.sleep(0, "on")) == "on"


def test_a_default_handler_that_raises(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(factory()) as example:
        base: Any = type(example)

    class Mine(base):  # type: ignore[misc]
        def default_exception_handler(self, context: dict[str, Any]) -> None:
            raise ZeroDivisionError

    loop = Mine()
    loop.call_soon(fail)
    turn(loop)
    loop.set_exception_handler(fail)
    loop.call_soon(fail)
    turn(loop)
    loop.close()
    assert caplog.messages == [
        "Exception in default exception handler",
        (
            "Exception in default exception handler while handling an unexpected error in custom "
            "exception handler"
        ),
    ]


def test_a_handler_is_called_as_from_an_except_clause(loop: Loop) -> None:
    seen: list[Any] = []

    def handler(_: Loop, context: dict[str, Any]) -> None:
        seen.append((context["message"].split()[0], sys.exc_info()[1] is context["exception"]))

    class Failing(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            fail()

        def connection_lost(self, exc: Exception | None) -> None:
            lost.set_result(None)

    async def main() -> None:
        loop.call_soon(fail)
        loop.call_later(0, fail)
        here, there = socket.socketpair()
        with there:
            await loop.create_connection(Failing, sock=here)
            there.send(b"x")
            await lost

    loop.set_exception_handler(handler)
    lost = loop.create_future()
    loop.run_until_complete(main())
    assert sorted(seen) == [("Exception", True), ("Exception", True), ("Fatal", True)]
    assert sys.exc_info()[1] is None


def test_what_is_handled_around_a_report_is_handled_afterwards(loop: Loop) -> None:
    seen: list[Any] = []

    async def main() -> None:
        loop.call_soon(fail)
        await asyncio.sleep(0)
        seen.append(sys.exc_info()[1])
        try:
            raise ZeroDivisionError
        except ZeroDivisionError as inner:
            loop.call_soon(fail)
            await asyncio.sleep(0)
            seen.append(sys.exc_info()[1] is inner)
        seen.append(sys.exc_info()[1])

    loop.set_exception_handler(lambda *_: None)
    try:
        raise ValueError
    except ValueError as outer:
        expected = [outer, True, outer, outer, None]
        loop.run_until_complete(main())
        seen.append(sys.exc_info()[1])
    seen.append(sys.exc_info()[1])
    assert seen == expected


def test_an_error_in_a_handler_has_the_first_as_its_context(factory: Factory) -> None:
    with contextlib.closing(factory()) as example:
        base: Any = type(example)
    seen: list[Any] = []

    class Mine(base):  # type: ignore[misc]
        def default_exception_handler(self, context: dict[str, Any]) -> None:
            seen.append((repr(context["exception"]), repr(context["exception"].__context__)))
            seen.append(repr(sys.exc_info()[1]))

    def handler(*_: object) -> None:
        raise ZeroDivisionError

    with contextlib.closing(Mine()) as loop:
        loop.set_exception_handler(handler)
        loop.call_soon(fail)
        turn(loop)
    assert seen == [("ZeroDivisionError()", "KeyError('x')"), "ZeroDivisionError()"]


def test_handlers_are_kept_and_checked(loop: Loop) -> None:
    assert loop.get_exception_handler() is None
    loop.set_exception_handler(fail)
    assert loop.get_exception_handler() is fail
    with pytest.raises(TypeError, match=r"^A callable object or None is expected, got 1$"):
        loop.set_exception_handler(1)  # type: ignore[arg-type]
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None


@pytest.mark.parametrize("kind", ["handle", "task", "done"])
def test_slow_callbacks(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def slow(*_: object) -> None:
        time.sleep(0.003)

    async def slow_step() -> None:
        slow()

    found: dict[str, list[str]] = {}
    for name, factory in FACTORIES.items():
        loop: Any = factory()
        loop.set_debug(True)
        loop.slow_callback_duration = 0.002
        caplog.clear()
        match kind:
            case "handle":
                loop.call_soon(slow, 1)
            case "task":
                loop.create_task(slow_step())
            case _:
                future = SubFuture(loop=loop)
                future.add_done_callback(slow)
                future.set_result(1)
        turn(loop, 2)
        loop.close()
        found[name] = [neutral(text) for text in caplog.messages if text.startswith("Executing")]
    lines = [re.sub(r"[\w/.]+\.py:\d+", "FILE", text) for text in found["asyncio"]]
    assert [re.sub(r"[\w/.]+\.py:\d+", "FILE", text) for text in found["ouroloop"]] == lines
    assert len(lines) == 1
    assert lines[0].endswith("took N seconds")


def test_quick_callbacks_are_not_reported(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 10
    loop.call_soon(int)
    turn(loop)
    assert not any(text.startswith("Executing") for text in caplog.messages)


def test_what_was_cancelled_is_no_slow_callback(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    handles: list[asyncio.Handle] = []
    loop.call_soon(lambda: handles.pop().cancel())
    handles.append(loop.call_soon(print, "cancelled"))
    turn(loop)
    assert not handles
    assert len(caplog.messages) == 2
    assert "print" not in caplog.text


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at", "create_task"])
def test_the_wrong_thread(loop: Loop, method: str) -> None:
    text = "Non-thread-safe operation invoked on an event loop other than the current one"
    caught: list[str] = []

    def work() -> None:
        coroutine = asyncio.sleep(0)
        try:
            if method == "create_task":
                task: Any = asyncio.Task(coroutine, loop=loop)
                task._log_destroy_pending = False
            elif method == "call_soon":
                loop.call_soon(int)
            else:
                getattr(loop, method)(0, int)
        except RuntimeError as error:
            caught.append(str(error))
        coroutine.close()

    async def main() -> None:
        await asyncio.to_thread(work)

    loop.set_debug(True)
    loop.run_until_complete(main())
    assert caught == [text]


def test_the_wrong_thread_unnoticed_without_debug(loop: Loop) -> None:
    seen: list[int] = []
    loop.call_soon(lambda: None)
    thread = threading.Thread(target=loop.call_soon, args=(seen.append, 1))
    thread.start()
    thread.join()
    turn(loop)
    assert seen == [1]


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_coroutines_are_refused(loop: Loop, method: str) -> None:
    async def main() -> None:
        pass

    loop.set_debug(True)
    when = [0] if method in {"call_later", "call_at"} else []
    call: Any = getattr(loop, method)
    # call_later is call_at in other words.
    method = method.replace("call_later", "call_at")
    with pytest.raises(TypeError, match=rf"^coroutines cannot be used with {method}\(\)$"):
        call(*when, main)
    coroutine = main()
    with pytest.raises(TypeError, match=rf"^coroutines cannot be used with {method}\(\)$"):
        call(*when, coroutine)
    coroutine.close()
    message = rf"^a callable object was expected by {method}\(\), got 1$"
    with pytest.raises(TypeError, match=message):
        call(*when, 1)


@pytest.mark.parametrize("kind", ["future", "task", "handle", "timer"])
def test_source_tracebacks_end_here(loop: Loop, kind: str) -> None:
    loop.set_debug(True)
    made: Any
    match kind:
        case "future":
            made = loop.create_future()
        case "task":
            made = loop.create_task(asyncio.sleep(0))
        case "handle":
            made = loop.call_soon(int)
        case _:
            made = loop.call_later(0, int)
    # Stock asyncio's own create_future comes after in its.
    last = [frame.name for frame in made._source_traceback][-2:]
    assert "test_source_tracebacks_end_here" in last
    assert "created at" in repr(made)
    turn(loop, 3)
    loop.set_debug(False)
    assert loop.create_future()._source_traceback is None  # type: ignore[attr-defined]


def test_debug_during_a_run(loop: Loop) -> None:
    import sys

    async def main() -> None:
        assert sys.get_coroutine_origin_tracking_depth() == 0
        loop.set_debug(True)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() > 0
        loop.set_debug(False)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() == 0

    loop.set_debug(False)
    loop.run_until_complete(main())
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_a_report_from_within_a_step_names_its_handle(loop: Loop, reports: Reports) -> None:
    def say() -> None:
        loop.call_exception_handler({"message": "said"})

    loop.set_exception_handler(None)
    texts: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        loop.set_debug(True)
        loop.call_soon(say)
        turn(loop)
    finally:
        logger.removeHandler(handler)
    assert any("Handle created at (most recent call last):" in text for text in texts)
    assert reports.messages == []
