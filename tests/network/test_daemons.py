"""Programs that make their loop first and then fork: daemons, workers, processes of ``multiprocessing``."""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import ouroloop
import pytest

from tests.conftest import RunPython
from tests.support.loops import FACTORIES, HOST, Factory, until

from .forks import Forked, forked, in_child

PIECES = 30


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


async def everything() -> list[object]:
    """Use what a loop has: servers, connections, processes, threads."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    got: list[object] = [await reader.read()]
    writer.close()
    server.close()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(1)", stdout=-1)
    got += await process.communicate()
    got += [process.returncode, await asyncio.to_thread(int, "42")]
    return [*got, await asyncio.sleep(0.01, "slept")]


@pytest.mark.parametrize("has_run", [False, True])
def test_a_daemon(has_run: bool) -> None:
    """It forks twice, and has a loop from before. (asyncio shares epoll's instance with the parent, and may hang.)"""
    loop = ouroloop.new_event_loop()
    told = str([b"", b"1\n", None, 0, 42, "slept"])

    def daemon() -> str:
        answer = str(loop.run_until_complete(everything()))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        return answer

    def child() -> str:
        os.setsid()
        return in_child(daemon)

    if has_run:
        loop.run_until_complete(asyncio.sleep(0))
    assert in_child(child) == told
    assert str(loop.run_until_complete(everything())) == told
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_workers_share_a_server() -> None:
    """On asyncio one's end unsettles the others."""
    loop = ouroloop.new_event_loop()

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(os.getpid()).encode())
        await writer.drain()
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(tell, HOST, 0))
    address = server.sockets[0].getsockname()
    reading, writing = os.pipe()

    def worker() -> None:
        loop.add_signal_handler(signal.SIGTERM, loop.stop)
        loop.call_soon(os.write, writing, b"x")
        loop.run_forever()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()

    workers: list[Forked] = []
    for _ in range(3):
        with forked() as child:
            if child.fork():
                worker()
                child.exit("ended")
        workers.append(child)
    os.close(writing)
    with open(reading, "rb", buffering=0) as pipe:  # noqa: PTH123 -- it is a descriptor
        assert sum(len(pipe.read(1)) for _ in workers) == len(workers)
    seen = set()
    for _ in range(30):
        with socket.create_connection(address) as connection:
            seen.add(int(connection.makefile().read()))
    assert seen
    assert seen <= {one.child for one in workers}
    for one in workers:
        os.kill(one.child, signal.SIGTERM)
    assert [one.words() for one in workers] == ["ended"] * 3
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


def test_a_connection_from_before(factory: Factory) -> None:
    """What either process writes leaves once, and when it is written, also on a connection with a habit of several pieces."""
    loop = factory()
    near, far = socket.socketpair()

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(sock=near)

    reader, writer = loop.run_until_complete(connect())

    async def talk() -> None:
        for _ in range(PIECES):
            writer.write(b"1")
            writer.write(b"2")
            writer.write(b"3")
            await asyncio.sleep(0)

    async def answer() -> bytes:
        await talk()
        writer.write(b"4")
        writer.write(b"5")
        time.sleep(0.1)
        arrived = far.recv(1000, socket.MSG_PEEK)
        return arrived[-2:] + await reader.readline()

    with far:
        loop.run_until_complete(talk())
        writer.write(b"outside")
        far.send(b"line\n")
        assert in_child(lambda: loop.run_until_complete(answer())) == str(b"45line\n")
        loop.run_until_complete(talk())
        writer.close()
        loop.run_until_complete(writer.wait_closed())
        sent = b""
        while piece := far.recv(10_000):
            sent += piece
        talked = b"123" * PIECES
        assert sent == talked + b"outside" + talked + b"45" + talked
    loop.close()


def test_letters_that_were_sent_before_the_run(factory: Factory) -> None:
    loop = factory()
    heard: list[str] = []

    def child() -> list[str]:
        loop.call_soon_threadsafe(heard.append, "letter")
        loop.call_soon(heard.append, "soon")
        loop.run_until_complete(until(lambda: len(heard) == 3))
        return heard

    loop.call_soon_threadsafe(heard.append, "parent's")
    assert in_child(child) == str(["parent's", "letter", "soon"])
    loop.run_until_complete(until(lambda: heard))
    assert heard == ["parent's"]
    loop.close()


def test_what_is_done_before_the_run() -> None:
    """Writing, reading: whatever a worker does first, its loop is its own then."""
    loop = ouroloop.new_event_loop()
    near, far = socket.socketpair()
    read, write = os.pipe()
    kind = socket.SOCK_DGRAM
    near_datagrams, far_datagrams = socket.socketpair(socket.AF_UNIX, kind)

    async def connect() -> tuple[Any, ...]:
        stream, protocol = await loop.connect_accepted_socket(Recorder, near)
        stream.pause_reading()
        pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write, "wb", 0))
        endpoint, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, sock=near_datagrams
        )
        return stream, protocol, pipe, endpoint

    stream, protocol, pipe, endpoint = loop.run_until_complete(connect())

    def child() -> str:
        stream.write(b"a")
        stream.writelines([b"b", b"c"])
        stream.resume_reading()
        pipe.write(b"d")
        endpoint.sendto(b"e")
        loop.run_until_complete(until(lambda: protocol.data))
        stream.write_eof()
        return f"{protocol.data} {stream.is_reading()}"

    with far, far_datagrams, os.fdopen(read, "rb", 0) as reader:
        far.send(b"hello")
        assert in_child(child) == f"{b'hello'} True"
        assert (far.recv(10), far_datagrams.recv(10), reader.read(10)) == (b"abc", b"e", b"d")
        for transport in stream, pipe, endpoint:
            transport.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_signal_with_a_handler_from_before() -> None:
    """It comes to a child that only runs the loop. (asyncio takes the wake-up descriptor away, and it never does.)"""
    loop = ouroloop.new_event_loop()
    heard: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, heard.append, "signal")

    def child() -> list[str]:
        loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        loop.run_until_complete(until(lambda: heard))
        return heard

    assert in_child(child) == str(["signal"])
    assert not heard
    loop.run_until_complete(asyncio.sleep(0))
    assert not heard
    loop.close()


@pytest.mark.parametrize("has_other", [False, True])
def test_a_child_that_closes_the_loop(factory: Factory, has_other: bool) -> None:
    """Its signals end it again, but those to which it has given another meaning."""
    loop = factory()
    loop.add_signal_handler(signal.SIGTERM, print)

    def child() -> str:
        if has_other:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        loop.close()
        return str(signal.getsignal(signal.SIGTERM))

    usual = factory is FACTORIES["asyncio"] or not has_other
    expected = signal.Handlers.SIG_DFL if usual else signal.Handlers.SIG_IGN
    assert in_child(child) == str(expected)
    assert loop.remove_signal_handler(signal.SIGTERM)
    loop.close()


CLOSES_EVERYTHING = """
import asyncio, errno, os, signal, ouroloop
loop = ouroloop.new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
if not os.fork():
    os.closerange(3, 256)
    logs = [os.open(f"log{i}", os.O_CREAT | os.O_WRONLY) for i in range(12)]
    try:
        loop.run_until_complete(asyncio.sleep(0))
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
    for log in logs:
        os.write(log, b"line")
    os._exit(0)
os.wait()
print(loop.run_until_complete(asyncio.sleep(0, "parent")))
loop.close()
"""


def test_a_daemon_that_has_closed_everything(run_python: RunPython, tmp_path: Path) -> None:
    """Files that have the loop's numbers meanwhile are left alone; the loop is of no use any more."""
    done = run_python("-W", "ignore", "-c", CLOSES_EVERYTHING)
    assert (done.stdout, done.stderr, done.returncode) == ("EBADF\nparent\n", "", 0)
    assert [path.read_bytes() for path in tmp_path.glob("log*")] == [b"line"] * 12
