"""A task's protocol on its own loop and across the border to standard objects."""

import asyncio
import contextvars
import io
import sys
from typing import Any

import ouroloop
import pytest

from tests.support.loops import FACTORIES, Factory

from .conftest import turn

Loop = asyncio.AbstractEventLoop


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def inner(future: "asyncio.Future[Any]") -> Any:
    return await future


async def outer(future: "asyncio.Future[Any]") -> Any:
    return await inner(future)


def test_stack_of_a_waiting_task(loop: Loop) -> None:
    future: asyncio.Future[Any] = loop.create_future()
    task = loop.create_task(outer(future))
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["outer"]
    turn(loop)
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["outer"]
    assert len(task.get_stack(limit=0)) == 0
    text = io.StringIO()
    task.print_stack(file=text)
    assert text.getvalue().startswith(f"Stack for {task!r} (most recent call last):\n")
    assert "in outer" in text.getvalue()
    future.set_result(1)
    assert loop.run_until_complete(task) == 1
    assert task.get_stack() == []


def test_stack_of_a_failed_task(loop: Loop) -> None:
    async def fail() -> None:
        raise KeyError("x")

    async def main() -> None:
        await fail()

    task = loop.create_task(main())
    turn(loop, 2)
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["main", "fail"]
    assert [frame.f_code.co_name for frame in task.get_stack(limit=1)] == ["main"]
    text = io.StringIO()
    task.print_stack(file=text)
    assert text.getvalue().startswith(f"Traceback for {task!r} (most recent call last):\n")
    assert text.getvalue().endswith("KeyError: 'x'\n")
    assert isinstance(task.exception(), KeyError)


def test_counts_of_cancellations(loop: Loop) -> None:
    async def stubborn() -> str:
        for _ in range(2):
            try:
                await forever()
            except asyncio.CancelledError as error:
                seen.append(error.args)
        return "done"

    seen: list[tuple[object, ...]] = []
    task = loop.create_task(stubborn())
    turn(loop)
    assert (task.cancelling(), task.uncancel()) == (0, 0)
    assert task.cancel("one")
    assert task.cancel("two")
    assert task.cancelling() == 2
    assert task.uncancel() == 1
    turn(loop, 3)
    assert task.cancel("three")
    assert loop.run_until_complete(task) == "done"
    assert len(seen) == 2
    assert seen[1] == ("three",)
    assert not task.cancel()
    assert task.cancelling() == 2


def test_cancel_before_the_first_step(loop: Loop) -> None:
    entered: list[int] = []

    async def main() -> None:
        entered.append(1)

    task = loop.create_task(main())
    task.cancel("early")
    with pytest.raises(asyncio.CancelledError) as caught:
        loop.run_until_complete(task)
    assert caught.value.args == ("early",)
    assert entered == []
    assert task.cancelled()
    assert "cancelled" in repr(task)


def test_uncancel_before_delivery(loop: Loop) -> None:
    async def main() -> str:
        await asyncio.sleep(0)
        return "went on"

    task = loop.create_task(main())
    task.cancel()
    task.uncancel()
    if sys.version_info >= (3, 13):
        assert loop.run_until_complete(task) == "went on"
    else:
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


def test_cancelling_oneself(loop: Loop) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("by itself")
        await forever()

    with pytest.raises(asyncio.CancelledError) as caught:
        loop.run_until_complete(main())
    assert caught.value.args == ("by itself",)


def test_a_dying_cancel_message_may_look_at_the_task(loop: Loop) -> None:
    seen: list[bool] = []

    class Message:
        def __del__(self) -> None:
            seen.append(task.done())

    async def main() -> None:
        try:
            await forever()
        except asyncio.CancelledError as error:
            error.args = ()
        raise asyncio.CancelledError

    task = loop.create_task(main())
    turn(loop)
    task._cancel_message = Message()  # type: ignore[attr-defined]
    task.cancel()
    turn(loop, 3)
    assert task.cancelled()
    future: Any = loop.create_future()
    future._cancel_message = Message()
    future.cancel()
    assert seen


def test_names(loop: Loop) -> None:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "from __str__"

    first, second = loop.create_task(forever()), loop.create_task(forever())
    numbers = [int(task.get_name().removeprefix("Task-")) for task in (first, second)]
    assert numbers[1] == numbers[0] + 1
    first.set_name("mine")
    second.set_name(12)
    assert (first.get_name(), second.get_name()) == ("mine", "12")
    assert "name='mine'" in repr(first)
    named = loop.create_task(forever(), name=Text("x"))
    assert named.get_name() == "from __str__"
    for task in (first, second, named):
        task.cancel()
    turn(loop, 3)


def test_contexts(loop: Loop) -> None:
    variable = contextvars.ContextVar("variable", default="default")

    async def main() -> tuple[str, str]:
        before = variable.get()
        variable.set("changed")
        await asyncio.sleep(0)
        return before, variable.get()

    context = contextvars.copy_context()
    context.run(variable.set, "given")
    task = loop.create_task(main(), context=context)
    other = loop.create_task(main())
    assert loop.run_until_complete(task) == ("given", "changed")
    assert loop.run_until_complete(other) == ("default", "changed")
    assert context[variable] == "changed"
    assert variable.get() == "default"
    if sys.version_info >= (3, 12):
        assert task.get_context() is context


def test_context_of_a_done_callback(loop: Loop) -> None:
    variable = contextvars.ContextVar("variable", default="default")
    seen: list[str] = []
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    future: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(lambda _: seen.append(variable.get()), context=context)
    future.add_done_callback(lambda _: seen.append(variable.get()))
    future.set_result(None)
    turn(loop)
    assert seen == ["given", "default"]


def test_a_context_that_is_entered_already(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        pytest.fail("it cannot be entered")

    context = contextvars.copy_context()
    task: Any = loop.create_task(main(), context=context)
    context.run(turn, loop)
    assert caplog.messages[0].startswith("Exception in callback ")
    assert "cannot enter context" in caplog.text
    assert not task.done()
    task._log_destroy_pending = False
    task.get_coro().close()
    # The loop goes on.
    assert loop.run_until_complete(asyncio.sleep(0, "next")) == "next"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks(loop: Loop) -> None:
    seen: list[object] = []
    factory: Any = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]

    async def short() -> str:
        seen.append(asyncio.current_task())
        return "at once"

    async def long() -> str:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())
        return "later"

    async def main() -> None:
        me = asyncio.current_task()
        loop.set_task_factory(factory)
        first = loop.create_task(short())
        assert first.done()
        assert first.result() == "at once"
        assert asyncio.current_task() is me
        second = loop.create_task(long())
        assert not second.done()
        assert asyncio.current_task() is me
        assert second in asyncio.all_tasks()
        assert first not in asyncio.all_tasks()
        assert await second == "later"
        assert seen == [first, second, second]

    loop.run_until_complete(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_an_eager_native_task_on_a_stock_loop() -> None:
    async def short() -> str:
        assert asyncio.current_task() is not me
        return "at once"

    me: Any = None

    async def main() -> None:
        nonlocal me
        me = asyncio.current_task()
        make: Any = ouroloop.Task
        task = make(short(), loop=asyncio.get_running_loop(), eager_start=True)
        assert task.done()
        assert asyncio.current_task() is me

    with asyncio.Runner(loop_factory=FACTORIES["asyncio"]) as runner:
        runner.run(main())


TASKS: dict[str, Any] = {"standard": asyncio.Task, "native": ouroloop.Task}
FUTURES: dict[str, Any] = {"standard": asyncio.Future, "native": ouroloop.Future}


@pytest.mark.parametrize("task_kind", TASKS)
@pytest.mark.parametrize("future_kind", FUTURES)
class TestMixed:
    """Tasks and futures of either kind on loops of either kind."""

    def test_result(self, loop: Loop, task_kind: str, future_kind: str) -> None:
        future = FUTURES[future_kind](loop=loop)
        task = TASKS[task_kind](outer(future), loop=loop)
        loop.call_soon(loop.call_soon, future.set_result, "result")
        assert loop.run_until_complete(task) == "result"
        assert not asyncio.all_tasks(loop)

    def test_exception(self, loop: Loop, task_kind: str, future_kind: str) -> None:
        future = FUTURES[future_kind](loop=loop)
        task = TASKS[task_kind](outer(future), loop=loop)
        turn(loop)
        assert asyncio.all_tasks(loop) == {task}
        future.set_exception(KeyError("x"))
        with pytest.raises(KeyError):
            loop.run_until_complete(task)

    def test_cancel_goes_through(self, loop: Loop, task_kind: str, future_kind: str) -> None:
        future = FUTURES[future_kind](loop=loop)
        task = TASKS[task_kind](outer(future), loop=loop)
        waiting = TASKS[future_kind](outer(task), loop=loop)
        turn(loop, 2)
        assert waiting.cancel("message")
        with pytest.raises(asyncio.CancelledError) as caught:
            loop.run_until_complete(waiting)
        assert caught.value.args == ("message",)
        assert future.cancelled()
        assert task.cancelled()

    def test_other_loop(
        self, factory: Factory, loop: Loop, task_kind: str, future_kind: str
    ) -> None:
        elsewhere = factory()
        future = FUTURES[future_kind](loop=elsewhere)
        task = TASKS[task_kind](outer(future), loop=loop)
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            loop.run_until_complete(task)
        elsewhere.close()

    def test_current_task(self, loop: Loop, task_kind: str, future_kind: str) -> None:
        async def main() -> None:
            seen.append(asyncio.current_task())
            await future
            seen.append(asyncio.current_task())

        seen: list[Any] = []
        future = FUTURES[future_kind](loop=loop)
        future.add_done_callback(lambda _: seen.append(asyncio.current_task()))
        tasks = [TASKS[kind](main(), loop=loop) for kind in (task_kind, future_kind)]
        loop.call_soon(future.set_result, None)
        turn(loop, 3)
        assert seen == [*tasks, None, *tasks]


@pytest.mark.parametrize("kind", TASKS)
def test_awaiting_itself(loop: Loop, kind: str) -> None:
    async def main() -> None:
        await task

    task = TASKS[kind](main(), loop=loop)
    with pytest.raises(RuntimeError, match="Task cannot await on itself"):
        loop.run_until_complete(task)


def test_a_coroutine_that_awaits_itself(loop: Loop) -> None:
    async def main() -> None:
        await coroutine

    coroutine = main()
    with pytest.raises((RuntimeError, ValueError), match=r"already (being awaited|executing)"):
        loop.run_until_complete(coroutine)


@pytest.mark.parametrize("yielded", [1, "text", object, [1]], ids=["int", "str", "class", "list"])
def test_bad_yields(loop: Loop, yielded: object) -> None:
    class Bad:
        def __await__(self) -> Any:
            yield yielded

    async def main() -> None:
        await Bad()

    with pytest.raises(RuntimeError, match=r"^Task got bad yield: "):
        loop.run_until_complete(main())


def test_yield_without_await(loop: Loop) -> None:
    class Bad:
        def __await__(self) -> Any:
            yield loop.create_future()

    async def main() -> None:
        await Bad()

    with pytest.raises(RuntimeError, match=r"^yield was used instead of yield from in task"):
        loop.run_until_complete(main())


def test_unsupported_operations(loop: Loop) -> None:
    task: Any = loop.create_task(asyncio.sleep(0))
    for name, argument in [("set_result", 1), ("set_exception", KeyError())]:
        with pytest.raises(RuntimeError, match=f"^Task does not support {name} operation$"):
            getattr(task, name)(argument)
    loop.run_until_complete(task)
    with pytest.raises(TypeError, match="a coroutine was expected, got 123"):
        loop.create_task(123)  # type: ignore[arg-type]


@pytest.mark.parametrize("task_class", [asyncio.Task, ouroloop.Task])
def test_a_context_is_a_context(loop: Loop, task_class: Any) -> None:
    if task_class is asyncio.Task and sys.version_info < (3, 15):
        pytest.skip("the standard class checks since Python 3.15")
    coroutine = forever()
    with pytest.raises(TypeError, match=r"^a contextvars\.Context was expected, got int$"):
        task_class(coroutine, loop=loop, context=3)
    coroutine.close()


@pytest.mark.parametrize("base", [asyncio.Task, ouroloop.Task])
def test_a_cancellation_goes_through_derived_tasks(loop: Loop, base: Any) -> None:
    """It asks for a ``cancel`` of their own, in the class or on the object, and for no other."""
    asked: list[str] = []

    class Inherits(base):  # type: ignore[misc]
        pass

    class Overrides(base):  # type: ignore[misc]
        def cancel(self, msg: Any = None) -> bool:
            asked.append("class")
            return bool(super().cancel(msg))

    def shadow(msg: Any = None) -> bool:
        asked.append("object")
        return bool(Inherits.cancel(tasks[1], msg))

    async def waits(task: "asyncio.Task[None]") -> None:
        await task

    tasks: list[Any] = [Overrides(forever(), loop=loop)]
    tasks.append(Inherits(waits(tasks[-1]), loop=loop))
    tasks.append(Inherits(waits(tasks[-1]), loop=loop))
    tasks.append(loop.create_task(waits(tasks[-1])))
    tasks[1].cancel = shadow
    for _ in tasks:
        turn(loop)
    assert tasks[-1].cancel("message")
    assert asked == ["object", "class"]
    with pytest.raises(asyncio.CancelledError, match="message"):
        loop.run_until_complete(tasks[-1])
    assert all(task.cancelled() and task.cancelling() == 1 for task in tasks)
    del tasks[1].cancel
