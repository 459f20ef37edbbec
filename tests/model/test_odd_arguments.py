"""Arguments that nobody means, for which asyncio has an answer all the same."""

import asyncio
import gc
import socket
import sys
from typing import Any

import ouroloop
import pytest

from tests.support.loops import Factory, Run, reporting_runner_of, turns


class File:
    """A file object with this answer to ``fileno``."""

    def __init__(self, number: object) -> None:
        self.number = number

    def fileno(self) -> object:
        return self.number


@pytest.mark.parametrize("number", [1 << 40, 10**30])
def test_numbers_that_no_descriptor_has(run: Run, number: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for file in (number, File(number)):
            assert loop.remove_reader(file) is False  # type: ignore[arg-type]
            assert loop.remove_writer(file) is False  # type: ignore[arg-type]
            for add in (loop.add_reader, loop.add_writer):
                with pytest.raises(OverflowError, match="too large to convert to C int"):
                    add(file, print)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match=f"^Invalid file descriptor: -{number}$"):
                loop.remove_reader(File(-number))  # type: ignore[arg-type]

    run(main())


def test_a_number_without_a_text(run: Run) -> None:
    """The interpreter refuses to write out more than some thousands of digits."""

    async def main() -> None:
        with pytest.raises(ValueError, match=r"^Exceeds the limit"):
            asyncio.get_running_loop().remove_reader(-(10**5000))

    run(main())


@pytest.mark.parametrize("kind", [str, float, lambda number: number + 0.5])
def test_file_objects_that_answer_otherwise(run: Run, kind: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            file: Any = File(kind(near.fileno()))
            loop.add_reader(file, print)
            assert loop.remove_reader(near.fileno())
            assert not loop.remove_reader(file)

    run(main())


@pytest.mark.parametrize("number", ["seven", None, []])
def test_file_objects_without_a_number(run: Run, number: object) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=r"^Invalid file object: "):
            asyncio.get_running_loop().remove_reader(File(number))  # type: ignore[arg-type]

    run(main())


@pytest.mark.parametrize("when", [10**400, -(10**400)])
def test_times_that_no_float_holds(run: Run, when: int) -> None:
    async def main() -> None:
        handle = asyncio.get_running_loop().call_at(when, print)
        assert handle.when() == when
        handle.cancel()

    run(main())


def test_a_separator_of_none(run: Run) -> None:
    async def main() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(b"line\n")
        with pytest.raises(TypeError, match="has no len"):
            await reader.readuntil(None)  # type: ignore[arg-type]
        assert await reader.readuntil() == b"line\n"

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
def test_an_eager_task_that_cannot_start() -> None:
    """Whoever makes it is told; nothing more is said of a task that was lost."""

    class Broken:
        """A loop that knows next to nothing."""

        def __init__(self) -> None:
            self.reported: list[Any] = []

        def get_debug(self) -> bool:
            return False

        def call_exception_handler(self, context: Any) -> None:
            self.reported.append(context)

    async def never() -> None: ...

    broken, coroutine = Broken(), never()
    with pytest.raises(AttributeError, match="is_running"):
        ouroloop.Task(coroutine, loop=broken, eager_start=True)  # type: ignore[arg-type,call-arg]
    coroutine.close()
    gc.collect()
    assert broken.reported == []


def test_a_task_factory_that_raises_in_another_threads_name(factory: Factory) -> None:
    def refuse(loop: asyncio.AbstractEventLoop, coroutine: Any, **_: Any) -> Any:
        coroutine.close()
        raise ArithmeticError("no tasks")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(refuse)
        submitted = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
        loop.call_soon(loop.set_task_factory, None)
        await turns()
        assert isinstance(submitted.exception(0), ArithmeticError)

    _, reported = reporting_runner_of(factory)(main())
    (context,) = reported
    assert context["message"].startswith(
        "Exception in callback run_coroutine_threadsafe.<locals>.callback()"
    )
