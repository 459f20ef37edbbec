"""What the tests of sockets share: both loops, and a watch on what a test leaves behind."""

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import ouroloop
import pytest

Factory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[..., Any]

HOST = "127.0.0.1"
PATIENCE = 10.0

FACTORIES: dict[str, Factory] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}


def runner_of(factory: Factory) -> Run:
    """Return ``run(coroutine, *, debug=False)`` on a new loop of ``factory``.

    What reaches the loop's exception handler fails the test, unless it has a handler of its own.
    """

    def run(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> Any:
        surprises: list[dict[str, Any]] = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: surprises.append(context))
            return await asyncio.wait_for(main, 60)

        with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
            answer = runner.run(guarded())
        assert surprises == []
        return answer

    return run


@pytest.fixture(params=FACTORIES)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine, once on stock asyncio and once on Ouroloop."""
    return runner_of(FACTORIES[request.param])


@pytest.fixture
def run_native() -> Run:
    """Run a coroutine on Ouroloop: for promises that stock asyncio does not make."""
    return runner_of(ouroloop.new_event_loop)


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


async def turns(count: int = 3) -> None:
    """Let the loop turn a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds; it must before the patience ends."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not condition():
        assert loop.time() < deadline, "it never came true"
        await asyncio.sleep(0.001)


def open_descriptors() -> dict[int, str]:
    """Return the open descriptors of this process and what they lead to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- the listing's own descriptor ends
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


@pytest.fixture(autouse=True)
def descriptors_as_before() -> Iterator[None]:
    """No test leaves a descriptor open."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    after = open_descriptors()
    assert {fd: after[fd] for fd in after.keys() - before.keys()} == {}
    assert before.keys() - after.keys() == set()
