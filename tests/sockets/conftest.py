"""What the tests of socket operations share: sockets, filled and emptied."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.support.loops import HOST


@contextlib.contextmanager
def pair(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give two connected sockets that do not block."""
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """Give a listening TCP socket that does not block."""
    with socket.create_server((HOST, 0)) as listener:
        listener.setblocking(False)
        yield listener


@contextlib.contextmanager
def connected(*, room: int | None = None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a TCP connection; neither blocks, nor buffers much more than ``room``."""
    with listening() as listener, socket.socket() as near:
        if room is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        with far:
            near.setblocking(False)
            far.setblocking(False)
            yield near, far


def fill(sock: socket.socket) -> int:
    """Write until the kernel has no more room; return how much it took."""
    total = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            total += sock.send(bytes(64 * 1024))
    return total


def drain(sock: socket.socket) -> bytes:
    """Read what is there."""
    received = bytearray()
    with contextlib.suppress(BlockingIOError):
        while data := sock.recv(1 << 20):
            received += data
    return bytes(received)


@pytest.fixture(autouse=True)
def no_descriptor_left(descriptors_as_before: None) -> None:
    """No test leaves a descriptor open."""
