"""What the tests of processes share."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loops import Factory, Run, reporting_runner_of


@pytest.fixture
def run(factory: Factory) -> Run:
    """Run a coroutine on a new loop; what reaches the exception handler is answered second."""
    return reporting_runner_of(factory)


def children() -> set[int]:
    """Return the children of this process that nobody has reaped."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        # A thread may end while it is looked at.
        with contextlib.suppress(FileNotFoundError):
            found |= set(map(int, (task / "children").read_text().split()))
    return found


@pytest.fixture(autouse=True)
def nothing_left(descriptors_as_before: None) -> Iterator[None]:
    """No test leaves a descriptor open, or a child, dead or alive."""
    before = children()
    yield
    assert children() == before
