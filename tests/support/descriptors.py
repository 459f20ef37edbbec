"""What the process has open, and its children."""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path


def open_descriptors() -> dict[int, str]:
    """Return the open descriptors of this process and what they lead to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- the listing's own descriptor ends
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


def children() -> set[int]:
    """Return the children of this process that nobody has reaped."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        # A thread may end while it is looked at.
        with contextlib.suppress(FileNotFoundError):
            found |= set(map(int, (task / "children").read_text().split()))
    return found


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """Fail if the block opens a descriptor and leaves it open, or closes one of others."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    after = open_descriptors()
    left = {fd: after[fd] for fd in after.keys() - before.keys()}
    assert not left, f"left open: {left}"
    closed = {fd: before[fd] for fd in before.keys() - after.keys()}
    assert not closed, f"somebody else's, and closed: {closed}"
