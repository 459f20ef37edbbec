"""Descriptors of the user's own: readers and writers."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Reports, turn

Loop = asyncio.AbstractEventLoop


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected non-blocking sockets."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    yield left, right
    left.close()
    right.close()


Pair = tuple[socket.socket, socket.socket]


def test_level_triggered(loop: Loop, pair: Pair) -> None:
    seen: list[int] = []
    loop.add_reader(pair[0], seen.append, 1)
    turn(loop, 2)
    assert seen == []
    pair[1].send(b"x")
    turn(loop, 3)
    assert seen == [1, 1, 1]
    pair[0].recv(10)
    turn(loop, 2)
    assert seen == [1, 1, 1]
    assert loop.remove_reader(pair[0])
    assert not loop.remove_reader(pair[0])


def test_replace(loop: Loop, pair: Pair) -> None:
    seen: list[str] = []
    pair[1].send(b"x")
    loop.add_reader(pair[0].fileno(), seen.append, "old")
    loop.add_reader(pair[0].fileno(), seen.append, "new")
    loop.add_writer(pair[0].fileno(), seen.append, "old writer")
    loop.add_writer(pair[0].fileno(), seen.append, "new writer")
    turn(loop)
    assert sorted(seen) == ["new", "new writer"]
    assert loop.remove_writer(pair[0])
    turn(loop)
    assert sorted(seen) == ["new", "new", "new writer"]
    assert loop.remove_reader(pair[0])
    turn(loop)
    assert len(seen) == 3


def test_removed_in_the_same_turn(loop: Loop, pair: Pair) -> None:
    """What was found ready is not called once it is removed."""
    other = socket.socketpair()
    seen: list[str] = []

    def first() -> None:
        seen.append("called")
        for one in (pair[0], other[0]):
            loop.remove_reader(one)

    for one in (pair, other):
        one[1].send(b"x")
        loop.add_reader(one[0], first)
    turn(loop, 2)
    assert seen == ["called"]
    other[0].close()
    other[1].close()


def test_file_objects(loop: Loop) -> None:
    read, write = os.pipe()
    seen: list[bytes] = []
    with os.fdopen(read, "rb", buffering=0) as reader, os.fdopen(write, "wb", 0) as writer:
        loop.add_reader(reader, lambda: seen.append(reader.read(10)))
        writer.write(b"bytes")
        turn(loop)
        assert seen == [b"bytes"]
        assert loop.remove_reader(reader)
    with pytest.raises(ValueError, match="Invalid file"):
        loop.add_reader(reader, int)


@pytest.mark.parametrize("wrong", [-1, "x", None, [], 1.5], ids=str)
def test_what_is_no_descriptor(loop: Loop, wrong: object) -> None:
    with pytest.raises(ValueError, match="Invalid file"):
        loop.add_reader(wrong, int)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Invalid file"):
        loop.add_writer(wrong, int)  # type: ignore[arg-type]


def test_a_closed_descriptor(loop: Loop) -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_reader(read, int)
    assert not loop.remove_reader(read)
    turn(loop)


def test_a_descriptor_closed_while_watched(loop: Loop) -> None:
    seen: list[int] = []
    read, write = os.pipe()
    loop.add_reader(read, seen.append, 1)
    os.close(read)
    assert loop.remove_reader(read)
    os.close(write)
    read, write = os.pipe()
    loop.add_reader(read, seen.append, 2)
    os.write(write, b"x")
    turn(loop)
    assert seen == [2]
    loop.remove_reader(read)
    os.close(read)
    os.close(write)


def test_a_regular_file(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        for _ in range(2):
            with pytest.raises(PermissionError):
                loop.add_reader(file, int)
            assert not loop.remove_reader(file)
    turn(loop)


def test_hang_up_wakes_both(loop: Loop, pair: Pair) -> None:
    seen: set[str] = set()
    loop.add_reader(pair[0], seen.add, "reader")
    loop.add_writer(pair[0], seen.add, "writer")
    pair[1].close()
    turn(loop)
    assert seen == {"reader", "writer"}
    loop.remove_reader(pair[0])
    loop.remove_writer(pair[0])


def test_errors_keep_the_reader(loop: Loop, reports: Reports, pair: Pair) -> None:
    def fail() -> None:
        raise KeyError

    pair[1].send(b"x")
    loop.add_reader(pair[0], fail)
    turn(loop, 2)
    assert [type(error) for error in reports.exceptions] == [KeyError, KeyError]
    assert loop.remove_reader(pair[0])


def test_io_is_seen_while_callbacks_are_ready(loop: Loop, pair: Pair) -> None:
    """A loop that always has something ready still looks at its descriptors."""
    turns = 0

    def busy() -> None:
        nonlocal turns
        turns += 1
        assert turns < 10_000
        if not seen:
            loop.call_soon(busy)

    def noticed() -> None:
        seen.append(turns)
        loop.stop()

    seen: list[int] = []
    loop.add_reader(pair[0], noticed)
    loop.call_soon(busy)
    loop.call_soon(pair[1].send, b"x")
    loop.run_forever()
    assert seen[0] <= 256
    loop.remove_reader(pair[0])


def test_on_a_closed_loop(loop: Loop, pair: Pair) -> None:
    loop.close()
    for method in (loop.add_reader, loop.add_writer):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            method(pair[0], int)
    assert not loop.remove_reader(pair[0])
    assert not loop.remove_writer(pair[0])


def test_a_socket_that_was_closed_can_still_be_removed(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        loop.add_reader(ours, print)
        ours.close()
        assert loop.remove_reader(ours) is True


def test_a_closed_socket_that_is_not_watched_is_refused(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    for method in (loop.remove_reader, lambda file: loop.add_reader(file, print)):
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            method(ours)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_what_fileno_raises_is_not_hidden(loop: Loop, error: type[BaseException]) -> None:
    class Failing:
        def fileno(self) -> int:
            raise error

    for method in [loop.add_reader, loop.add_writer]:
        with pytest.raises(error):
            method(Failing(), print)
    for method in [loop.remove_reader, loop.remove_writer]:
        with pytest.raises(error):
            method(Failing())
