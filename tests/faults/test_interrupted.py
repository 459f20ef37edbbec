"""Storms of signals with Python handlers: every system call of the loop may be interrupted.

rloop was taken down by a system call that a signal interrupted (its issue 39). Here a signal comes
every millisecond, or as fast as a thread can send them, while everything goes on as usual.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.loops import HOST, Run, until

Storm = Callable[[], contextlib.AbstractContextManager[list[int]]]


@contextlib.contextmanager
def by_timer() -> Iterator[list[int]]:
    """Have a signal come every millisecond."""
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        yield seen
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def by_thread() -> Iterator[list[int]]:
    """Have a thread send signals to this one, one after the other."""
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    receiver = threading.get_ident()
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.0002):
            signal.pthread_kill(receiver, signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def by_the_loop() -> Iterator[list[int]]:
    """Have the loop itself handle the signals, which come by its wake-up descriptor."""
    seen: list[int] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGALRM, seen.append, signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        yield seen
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        # One that is still on its way would kill.
        before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
        loop.remove_signal_handler(signal.SIGALRM)
        signal.signal(signal.SIGALRM, before if callable(before) else signal.SIG_DFL)


@pytest.fixture(params=[by_timer, by_thread, by_the_loop])
def storm(request: pytest.FixtureRequest) -> Storm:
    return request.param


async def enough(seen: list[int]) -> None:
    """The storm is one: it has struck often."""
    await until(lambda: len(seen) >= 20)


def test_streams(run: Run, storm: Storm) -> None:
    """Bytes come back whole and in order."""
    sent = b"".join(b"%d\n" % number for number in range(100_000))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(10_000):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def talk(address: Any) -> None:
        reader, writer = await asyncio.open_connection(*address)

        async def send() -> None:
            for start in range(0, len(sent), 7_777):
                writer.write(sent[start : start + 7_777])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.ensure_future(send())
        assert await reader.read(-1) == sent
        await sending
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(echo, HOST, 0)
        with storm() as seen:
            await asyncio.gather(*(talk(server.sockets[0].getsockname()) for _ in range(4)))
            await enough(seen)
        server.close()
        await server.wait_closed()

    run(main())


def test_timers(run: Run, storm: Storm) -> None:
    """None is early, none is lost, and they come in order."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        fired: list[float] = []
        early: list[float] = []

        def fire(when: float) -> None:
            fired.append(when)
            # asyncio's own timers may be early by the clock's resolution.
            if loop.time() < when - 1e-6:
                early.append(when)

        with storm() as seen:
            start = loop.time()
            deadlines = [start + number / 3_000 for number in range(300)]
            for when in deadlines:
                loop.call_at(when, fire, when)
            await until(lambda: len(fired) == len(deadlines))
            await enough(seen)
        assert fired == deadlines
        assert early == []

    run(main())


def test_processes(run: Run, storm: Storm) -> None:
    """Children run, are spoken to and reaped, each with its own status."""
    program = (
        "import sys; data = sys.stdin.read(); print(len(data), end=''); sys.exit(len(data) % 7)"
    )

    async def one(size: int) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-c", program, stdin=-1, stdout=-1
        )
        assert await process.communicate(b"x" * size) == (b"%d" % size, None)
        assert process.returncode == size % 7

    async def main() -> None:
        with storm() as seen:
            await asyncio.gather(*(one(size) for size in (0, 1, 5, 200_000)))
            await enough(seen)

    run(main())


def test_datagrams_and_socket_calls(run: Run, storm: Storm, tmp_path: Path) -> None:
    """Each is received once: between Unix sockets none may be lost."""
    names = str(tmp_path / "near"), str(tmp_path / "far")

    class Counting(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.received: list[bytes] = []

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.received.append(data)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in names)
        for sock, name in zip((near, far), names, strict=True):
            sock.bind(name)
            sock.setblocking(False)
        near.connect(names[1])
        far.connect(names[0])
        transport, protocol = await loop.create_datagram_endpoint(Counting, sock=near)
        sent = [b"%d" % number for number in range(3_000)]
        answers = []
        with storm() as seen, far:
            for data in sent:
                # The kernel keeps few: this waits for room most of the time.
                await loop.sock_sendall(far, data)
                if data.endswith(b"0"):
                    transport.sendto(b"to " + data)
                    answers.append(await loop.sock_recv(far, 100))
            await until(lambda: len(protocol.received) == len(sent))
            await enough(seen)
        assert protocol.received == sent
        assert answers == [b"to " + data for data in sent if data.endswith(b"0")]
        transport.close()
        await asyncio.sleep(0)

    run(main())


def test_pipes_and_threads(run: Run, storm: Storm) -> None:
    """A pipe that is full most of the time, and calls from other threads."""

    class Reading(asyncio.Protocol):
        def __init__(self) -> None:
            self.data = bytearray()
            self.lost = False

        def data_received(self, data: bytes) -> None:
            self.data += data

        def connection_lost(self, exc: Exception | None) -> None:
            assert exc is None
            self.lost = True

    async def main() -> None:
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        _, reading = await loop.connect_read_pipe(Reading, os.fdopen(read, "rb", 0))
        transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(write, "wb", 0))
        pieces = [b"%d " % number * 1000 for number in range(500)]
        with storm() as seen:
            for number, piece in enumerate(pieces):
                transport.write(piece)
                if number % 10 == 0:
                    assert await asyncio.to_thread(abs, -number) == number
            transport.close()
            await until(lambda: reading.lost)
            await enough(seen)
        assert reading.data == b"".join(pieces)

    run(main())


def test_an_error_of_a_handler_leaves_the_loop(run: Run) -> None:
    """Whatever call it interrupts; afterwards the loop goes on where it was."""

    class Struckdown(BaseException):
        pass

    def strike(number: int, frame: Any) -> None:
        raise Struckdown

    async def main() -> None:
        await asyncio.sleep(10)

    before = signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Struckdown):
            run(main())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
