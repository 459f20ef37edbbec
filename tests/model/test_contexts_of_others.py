"""Contexts that the loop keeps are objects that a program can find, enter and change like any others."""

import shutil
import subprocess
import sys

import pytest

from tests.conftest import RunPython

ENTERED = """
import asyncio, contextvars, gc, sys
import ouroloop
loop = ouroloop.new_event_loop()
reported = []
loop.set_exception_handler(lambda loop, context: reported.append(context["message"]))
variable = contextvars.ContextVar("variable", default=None)

class Value:
    def __init__(self, number):
        self.number = number

def turn():
    seen = []
    def callback():
        seen.append(variable.get())
        variable.set(Value(-2))
    loop.call_soon(callback)
    loop.call_soon(callback)
    loop.call_soon(loop.stop)
    loop.run_forever()
    return seen

def within(number):
    mine = Value(number)
    variable.set(mine)
    before = sys.getrefcount(mine)
    del mine
    # Memory that is given back is somebody else's by then.
    seen = turn()
    others = [Value(-1) for _ in range(1000)]
    found = variable.get()
    assert type(found) is Value and found.number == number, found
    assert [one.number for one in seen] == [number, number], seen
    contextvars.copy_context().run(turn)
    assert variable.get() is found

turn()
for round in range(3):
    found = [one for one in gc.get_objects() if type(one) is contextvars.Context]
    for number, context in enumerate(found):
        context.run(within, number)
    variable.set(Value(round))
    turn()
    # One inside the other.
    def nested(left):
        if left:
            try:
                left[0].run(nested, left[1:])
            except RuntimeError:
                nested(left[1:])
        else:
            within(len(found))
    nested(found)
    del found
gc.collect()
assert not reported, reported
print("ended")
"""


def test_contexts_that_the_collector_shows_are_entered(run_python: RunPython) -> None:
    done = run_python("-c", ENTERED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


IN_A_THREAD = """
import asyncio, threading
import ouroloop

async def work():
    assert asyncio.current_task() is not None
    await asyncio.sleep(0)

def run():
    loop = ouroloop.new_event_loop()
    loop.call_soon(len, "")
    loop.run_until_complete(work())
    loop.close()

thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def under_valgrind(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["valgrind", "--quiet", "--error-exitcode=9", sys.executable, "-c", program],
        capture_output=True, text=True, timeout=110, check=False,
        env={"PYTHONMALLOC": "malloc", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_nothing_behind_the_state_of_a_thread_is_read() -> None:
    """A thread's state is an allocation, whose end valgrind knows."""
    if under_valgrind("pass").returncode != 0:
        pytest.skip("valgrind does not run this interpreter, or does not like it")
    done = under_valgrind(IN_A_THREAD)
    assert done.returncode == 0, done.stderr
