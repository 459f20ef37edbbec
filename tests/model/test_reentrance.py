"""Finalizers that use the object which is just letting go of something.

A native object drops what it displaces when it is whole again: a finalizer that runs then finds nothing half-changed,
and what it takes out is not dropped a second time. Such a fault need not crash at once, so the programs count what was
finalized; where nothing can be counted, ``make test-lent`` is what reports a drop that comes too early.
"""

import subprocess
import sys
import textwrap

import pytest

WAITER_OF_A_READER = """
    import ouroloop

    ends = []

    class Displaced:
        __slots__ = ()
        def __del__(self):
            ends.append("displaced")
            reader._waiter = None

    class Transport:
        def pause_reading(self): ...
        def resume_reading(self):
            reader._waiter = Displaced()

    async def main():
        global reader
        reader = ouroloop.StreamReader(limit=1)
        reader.set_transport(Transport())
        reader._paused = True
        reader.read(10).send(None)

    ouroloop.run(main())
    print(ends)
"""

NAME_OF_A_TASK = """
    import asyncio, ouroloop

    ends = []

    class Displaced(str):
        def __del__(self):
            ends.append(str(self))
            task.set_name("later")

    class ToDisplaced:
        def __str__(self):
            return Displaced("displaced")

    class Given:
        def __str__(self):
            task.set_name(ToDisplaced())
            return "given"

    async def nothing(): ...

    async def main():
        global task
        task = ouroloop.Task.__new__(ouroloop.Task)
        task.__init__(nothing(), loop=asyncio.get_running_loop(), name=Given())
        await task

    ouroloop.run(main())
    print(ends)
"""

RESULT_OF_A_TASK_THAT_HAS_ENDED = """
    import asyncio, ouroloop

    ends = []

    class Displaced:
        def __del__(self):
            ends.append("displaced")
            task.add_done_callback(lambda task: None)
            assert task.result() == "early"

    async def main():
        global task
        async def ends_twice():
            ouroloop.Future.set_result(task, "early")
            return Displaced()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        task = loop.create_task(ends_twice())
        await task
        await asyncio.sleep(0)

    ouroloop.run(main())
    print(ends)
"""

CALLBACK_OF_A_REFUSED_DESCRIPTOR = """
    import ouroloop, tempfile

    ends = []

    class Displaced:
        def __call__(self): ...
        def __del__(self):
            ends.append("displaced")
            loop.call_soon(loop.stop)

    loop = ouroloop.new_event_loop()
    with tempfile.TemporaryFile() as file:
        for add in (loop.add_reader, loop.add_writer):
            try:
                add(file, Displaced())
            except PermissionError:
                pass
            else:
                # A mechanism that watches files, too.
                loop.remove_reader(file)
                loop.remove_writer(file)
    loop.run_forever()
    loop.close()
    assert ends.pop() == "displaced"
    print(ends)
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(WAITER_OF_A_READER, id="waiter of a reader"),
        pytest.param(NAME_OF_A_TASK, id="name of a task"),
        pytest.param(RESULT_OF_A_TASK_THAT_HAS_ENDED, id="result of a task that has ended"),
        pytest.param(CALLBACK_OF_A_REFUSED_DESCRIPTOR, id="callback of a refused descriptor"),
    ],
)
def test_what_is_displaced_is_finalized_once(program: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (child.returncode, child.stdout) == (0, "['displaced']\n"), child.stderr
