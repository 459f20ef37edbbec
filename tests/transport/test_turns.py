"""A peer that sends faster than it is read does not keep the others waiting."""

import asyncio
import contextlib
import socket
from itertools import groupby
from typing import Any

import pytest

from tests.support.loops import Run, until

ROUNDS = 20
PIECE = bytes(64 * 1024)


def fill(far: socket.socket) -> None:
    """Send as much as the kernel takes."""
    with contextlib.suppress(BlockingIOError):
        while True:
            far.send(PIECE)


class Fast(asyncio.Protocol):
    """Finds more to read whenever it has read."""

    def __init__(self, far: socket.socket, calls: list[str]) -> None:
        self.far = far
        self.calls = calls

    def data_received(self, data: bytes) -> None:
        self.calls.append("fast")
        fill(self.far)


class FastIntoBuffer(asyncio.BufferedProtocol):
    """The same, into memory of its own."""

    def __init__(self, far: socket.socket, calls: list[str]) -> None:
        self.far = far
        self.calls = calls
        self.memory = bytearray(16 * 1024)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.memory

    def buffer_updated(self, nbytes: int) -> None:
        self.calls.append("fast")
        fill(self.far)


class Slow(asyncio.Protocol):
    """Gets one byte at a time, the next once it has read the last."""

    def __init__(self, far: socket.socket, calls: list[str]) -> None:
        self.far = far
        self.calls = calls

    def data_received(self, data: bytes) -> None:
        assert data == b"."
        self.calls.append("slow")
        self.far.send(b".")


@pytest.mark.parametrize("kind", [Fast, FastIntoBuffer])
def test_a_fast_peer_and_a_slow_one_take_turns(run: Run, kind: Any) -> None:
    calls: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        fast_near, fast_far = socket.socketpair()
        slow_near, slow_far = socket.socketpair()
        with fast_far, slow_far:
            fast_far.setblocking(False)
            fill(fast_far)
            slow_far.send(b".")
            fast, _ = await loop.create_unix_connection(
                lambda: kind(fast_far, calls), sock=fast_near
            )
            slow, _ = await loop.create_unix_connection(
                lambda: Slow(slow_far, calls), sock=slow_near
            )
            await until(lambda: calls.count("slow") >= ROUNDS)
            fast.close()
            slow.close()
            await asyncio.sleep(0)

    run(main())
    first = calls.index("slow")
    turns = [len(list(group)) for who, group in groupby(calls[first:]) if who == "fast"]
    assert len(turns) >= ROUNDS - 1
    assert max(turns) <= 2
