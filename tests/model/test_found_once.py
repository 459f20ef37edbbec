"""What is found out at the first use may run Python code that uses the same thing, there or in another thread."""

import pytest

from tests.conftest import RunPython

PROGRAM = """
import asyncio, builtins, contextvars, sys, threading
import ouroloop

contextvars.ContextVar("value").set(1)
original = builtins.__import__
entered, other_is_done = threading.Event(), threading.Event()

def use():
    loop = ouroloop.new_event_loop()
    loop.call_soon(int)
    if asyncio._get_running_loop() is None:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()

def again():
    use()

def in_another_thread():
    entered.set()
    # The thread must get on although this one is in the middle of it.
    assert other_is_done.wait(20)

def other():
    contextvars.ContextVar("value").set(2)
    entered.wait()
    use()
    other_is_done.set()

def hooked(name, *arguments, **named):
    # Nobody asks for the first two while the tricks are off.
    if name in ("builtins", "contextvars", "asyncio.futures") and not entered.is_set():
        entered.set()
        globals()[sys.argv[1]]()
    return original(name, *arguments, **named)

thread = threading.Thread(target=other, daemon=True)
thread.start() if sys.argv[1] == "in_another_thread" else None
builtins.__import__ = hooked
use()
assert entered.is_set()
print("done")
"""


@pytest.mark.parametrize("meanwhile", ["again", "in_another_thread"])
def test_nobody_waits_for_the_first_use(run_python: RunPython, meanwhile: str) -> None:
    """It is found out twice then."""
    done = run_python("-c", PROGRAM, meanwhile)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
