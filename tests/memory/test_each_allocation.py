"""No call of a native class, function or method dies of an allocation that fails.

The interpreter's own test module makes them fail (`tests/memory/sweep.py`, which runs longer by hand).
"""

import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = Path(__file__).with_name("sweep.py")

try:
    from _testcapi import set_nomemory
except ImportError:
    set_nomemory = None


SUBJECTS = [
    "adopt", "Barrier", "Condition", "Event", "Future", "Lock", "Queue", "Semaphore", "StreamReader",
    "Timeout",
]  # fmt: skip
if sys.version_info >= (3, 14):
    # Before, the interpreter does not survive a generator without memory, and these run some.
    SUBJECTS += ["Loop", "Server", "SocketTransport"]
    if sys.version_info >= (3, 15):
        # And this one not the standard library's code by which these represent themselves.
        SUBJECTS.remove("Future")
    else:
        SUBJECTS += ["Handle", "Task"]


@pytest.mark.slow
@pytest.mark.skipif(set_nomemory is None, reason="this Python has no `_testcapi`")
@pytest.mark.parametrize("subjects", SUBJECTS)
def test_a_failed_allocation_raises(subjects: str) -> None:
    command = [sys.executable, str(SWEEP), "--depth", "30", "--only", subjects]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stdout + ran.stderr
