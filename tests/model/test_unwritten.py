"""Objects that no `__init__` has seen: what they have got of the interpreter is let go with them."""

import subprocess
import sys

import pytest

from tests.conftest import RunPython

PROGRAM = """
import weakref
from ouroloop import _native

class Note:
    pass

def derived(native):
    try:
        return [type("Derived", (native,), {})]
    except TypeError:
        return []  # Nobody may derive from it.

count = 0
for native in [value for value in vars(_native).values() if isinstance(value, type)]:
    for kind in [native, *derived(native)]:
        try:
            made = kind.__new__(kind)
        except TypeError:
            continue  # Nobody may make one.
        count += 1
        note, gone = Note(), []
        kept = weakref.ref(note)
        try:
            made.note = note
        except AttributeError:
            pass  # It has no dictionary.
        try:
            watched = weakref.ref(made, gone.append)
        except TypeError:
            watched = None
        del made, note
        if kept() is not None:
            print(kind, "leaves its dictionary")
        if watched is not None and (gone != [watched] or watched() is not None):
            print(kind, "leaves a reference to freed memory")
print(count > 20)
"""


def test_their_weak_references_and_attributes_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stdout + done.stderr


NEVER_INITIALISED = """
import gc, sys, weakref
import ouroloop

class Derived(getattr(ouroloop, sys.argv[1])):
    pass

made = Derived.__new__(Derived)
made.itself = made
known = weakref.ref(made)
del made
gc.collect()
print(known())
"""


KINDS = ["StreamReader", "StreamReaderProtocol", "StreamWriter", "Future", "Task", "Lock", "Queue"]


@pytest.mark.parametrize("name", KINDS)
def test_the_first_object_of_a_process_goes_without_being_initialised(
    run_python: RunPython, name: str
) -> None:
    """It is collected, though nothing of its class was seen before."""
    done = run_python("-c", NEVER_INITIALISED, name)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
