"""Tasks of the standard library's own class on a native loop."""

import asyncio
import contextvars
import gc
from typing import Any

import ouroloop
import pytest
from ouroloop import _native

StandardTask: Any = asyncio.tasks._CTask  # type: ignore[attr-defined]


def run(main: Any) -> Any:
    loop = ouroloop.new_event_loop()
    try:
        return loop.run_until_complete(StandardTask(main, loop=loop))
    finally:
        loop.close()


def test_its_steps_need_no_handle() -> None:
    def alive() -> list[object]:
        return [thing for thing in gc.get_objects() if type(thing) is _native.Handle]

    handles: list[object] = []
    of_others = alive()

    async def look() -> None:
        handles.extend(handle for handle in alive() if handle not in of_others)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tasks = [StandardTask(asyncio.sleep(0), loop=loop) for _ in range(20)]
        await StandardTask(look(), loop=loop)
        await asyncio.gather(*tasks)

    run(main())
    assert handles == []


def test_they_take_turns_with_native_tasks_and_callbacks() -> None:
    said: list[str] = []

    async def talk(name: str) -> None:
        for number in range(3):
            said.append(f"{name}{number}")
            await asyncio.sleep(0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        first = StandardTask(talk("standard"), loop=loop)
        loop.call_soon(said.append, "callback")
        second = loop.create_task(talk("native"))
        await asyncio.gather(first, second)

    run(main())
    assert said == [
        "standard0",
        "callback",
        "native0",
        "standard1",
        "native1",
        "standard2",
        "native2",
    ]


def test_a_step_runs_in_its_tasks_context_and_as_its_current_task() -> None:
    variable = contextvars.ContextVar("variable", default=0)

    async def look() -> tuple[int, bool]:
        variable.set(variable.get() + 1)
        await asyncio.sleep(0)
        task: Any = asyncio.current_task()
        return variable.get(), type(task) is StandardTask

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        variable.set(10)
        seen = [await StandardTask(look(), loop=loop) for _ in range(2)]
        return seen, variable.get()

    assert run(main()) == ([(11, True), (11, True)], 10)


def test_it_wakes_with_the_result_and_with_the_exception_of_a_native_future() -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        good, bad = loop.create_future(), loop.create_future()
        loop.call_soon(good.set_result, "good")
        loop.call_soon(bad.set_exception, OSError("bad"))
        with pytest.raises(OSError, match="bad"):
            await bad
        return await good

    assert run(main()) == "good"


def test_the_loop_of_a_step_must_be_open() -> None:
    loop = ouroloop.new_event_loop()
    loop.close()
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        StandardTask(coroutine, loop=loop)
    coroutine.close()
