"""Forked children that report to the test."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def outcome_of(work: Callable[[], Any]) -> str:
    """Return what ``work`` returned or raised, as text."""
    try:
        return str(work())
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


class Forked:
    """A child, once it was forked, and its last words."""

    def __init__(self) -> None:
        self.child = -1
        self._reading, self._writing = os.pipe()

    def fork(self) -> bool:
        """Fork; true in the child."""
        with warnings.catch_warnings():
            # From 3.12 on a fork with threads about is warned of.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.child = os.fork()
        return self.child == 0

    def exit(self, words: str) -> None:
        """End the child, if this is it."""
        if self.child == 0:
            os.write(self._writing, words.encode())
            os._exit(0)

    def words(self) -> str:
        """Wait for the child's end; its last words."""
        os.close(self._writing)
        with open(self._reading) as pipe:  # noqa: PTH123 -- it is a descriptor
            words = pipe.read()
        assert os.waitpid(self.child, 0)[1] == 0
        return words


@contextlib.contextmanager
def forked() -> Iterator[Forked]:
    """Make a :class:`Forked`. A child does not leave the block alive."""
    child = Forked()
    try:
        yield child
    except BaseException as error:
        child.exit(f"{type(error).__name__}: {error}")
        raise
    child.exit("left the block")


def in_child(work: Callable[[], Any]) -> str:
    """Return what ``work`` returned or raised in a child, as text."""
    with forked() as child:
        if child.fork():
            child.exit(outcome_of(work))
    return child.words()


def is_open(fd: int) -> bool:
    return Path(f"/proc/self/fd/{fd}").is_symlink()
