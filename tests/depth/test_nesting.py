"""However deep a program nests things, it gets asyncio's answer or a ``RecursionError``, and no crash."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")

# Deeper than any stack that a thread has by default.
DEEP = 20_000

# A chain that every version's count lets begin, on a stack that is large enough.
BEGUN = 250

AWAITED_INSIDE = ["wait_for", "wait_for_with_time", "awaitable", "in_python"]
AWAITED_BY_TASKS = [
    "shield",
    "gather",
    "wait",
    "task",
    "subclassed_task",
    "ensure_future",
    "as_completed",
]

# In KiB; 0 is the main thread.
STACKS = [0, 256, 512]


def outcome(loop: str, kind: str, operation: str, count: int, stack: int) -> str:
    """What the program said, or by which signal it ended."""
    command = [sys.executable, str(PROGRAM), loop, kind, operation, str(count), str(stack)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode:
        return f"exit status {ended.returncode}: {ended.stderr[-500:]}"
    return ended.stdout.strip()


def compare(kind: str, operation: str, count: int, stack: int) -> None:
    ours = outcome("ouroloop", kind, operation, count, stack)
    if sys.version_info[:2] == (3, 13) and stack and ours.startswith("exit status"):
        # There the interpreter's own objects overflow a small stack.
        assert outcome("asyncio", kind, operation, count, stack) == ours
        return
    assert ours in {"done", "RecursionError"}
    if ours == "RecursionError":
        assert outcome("asyncio", kind, operation, count, stack) != "done"


def test_awaiting_deeper_than_the_main_stack() -> None:
    assert outcome("ouroloop", "wait_for", "await", DEEP, 0) == "RecursionError"


def test_awaiting_deeper_than_a_thread_s_stack() -> None:
    assert outcome("ouroloop", "wait_for", "await", 2_000, 256) == "RecursionError"


@pytest.mark.parametrize("kind", AWAITED_INSIDE + AWAITED_BY_TASKS)
def test_a_thread_with_little_stack_nests_a_little(kind: str) -> None:
    # From 3.14 on the interpreter keeps 32 KiB of each stack to itself.
    stack = 96 if sys.version_info >= (3, 14) else 64
    assert outcome("ouroloop", kind, "await", 10, stack) == "done"


@pytest.mark.slow
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("operation", ["await", "cancel", "drop", "repr"])
@pytest.mark.parametrize("kind", AWAITED_INSIDE + AWAITED_BY_TASKS)
def test_nesting(kind: str, operation: str, stack: int) -> None:
    compare(kind, operation, DEEP, stack)


@pytest.mark.slow
@pytest.mark.parametrize("stack", [0, 128])
@pytest.mark.parametrize("operation", ["close", "throw", "send", "drop", "clear"])
@pytest.mark.parametrize("kind", AWAITED_INSIDE)
def test_a_chain_that_another_thread_has_begun(kind: str, operation: str, stack: int) -> None:
    """It waits deeper than there is stack: a close, an error and an end stop half way."""
    said = outcome("ouroloop", kind, f"suspended_{operation}", BEGUN, stack)
    # `RuntimeError`: a time-out that is sent to outside of a task, before 3.12's own words for it.
    assert said in {"done", "RecursionError", "StopIteration", "KeyError", "RuntimeError"}


EAGER = [] if sys.version_info < (3, 12) else ["eager"]


@pytest.mark.slow
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(
    "operation", [*EAGER, "handles", "handlers", "writers", "results", "attributes"]
)
def test_other_things(operation: str, stack: int) -> None:
    compare("wait_for", operation, DEEP, stack)
