"""A native method that runs Python code which calls it again, on small stacks."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("reentry.py")

KINDS = [
    "removes",
    "fails",
    "orders",
    "takes",
    "bounds",
    "puts",
    "inits",
    "future",
    "delays",
    "times",
    "sets_debug",
    "watches",
    "unwatches",
    "signals",
    "creates",
    "names",
    "submits",
    "semaphore",
    "barrier",
    "limits",
    "feeds",
    "timeouts",
]


@pytest.mark.slow
@pytest.mark.parametrize("stack", [256, 512, 0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_method_that_is_called_by_what_it_calls(kind: str, stack: int) -> None:
    command = [sys.executable, str(PROGRAM), "ouroloop", kind, str(stack)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (ended.returncode, ended.stdout) == (0, "RecursionError\n"), ended.stderr[-500:]
