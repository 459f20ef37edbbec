"""What a peer or a program makes grow ends in `MemoryError` there, and the process lives.

Each case runs in a process of its own whose address space is limited, once on stock asyncio, which
shows that the case is right, once on Ouroloop.
"""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, resource, signal, socket, sys

if sys.argv[1] == "native":
    import ouroloop
    ouroloop.install()

which, how = sys.argv[1:]

async def grow(reader, writer):
    loop = asyncio.get_running_loop()
    if how == "first":
        # The peer answers when there is no room for a first read any more.
        loop.set_exception_handler(lambda *_: None)  # Telling of it takes memory.
        kept = []
        try:
            while True:
                kept.append(bytearray(200_000))
        except MemoryError:
            writer.write(b"x")
            await reader.read()
    elif how == "exactly":
        await reader.readexactly(2**40)
    elif how == "all":
        await reader.read()
    elif how == "line":
        await reader.readline()
    elif how == "soon":
        while True:
            loop.call_soon(len, "")
    elif how == "queue":
        queue = asyncio.Queue()
        while True:
            queue.put_nowait(1)
    elif how == "timers":
        while True:
            loop.call_later(1000, len, "")
    elif how == "write":
        while True:
            writer.write(b"x" * 10**6)
    elif how == "callbacks":
        future = loop.create_future()
        while True:
            future.add_done_callback(len)
    elif how == "futures":
        kept = []
        while True:
            kept.append(loop.create_future())

def peer(address):
    stream = socket.create_connection(address)
    piece = bytes(65536)
    try:
        if how == "first":
            stream.recv(1)
            stream.sendall(b"answer")
        while how in ("exactly", "all", "line"):
            stream.sendall(piece)
        # Reads nothing: what is written stays with the writer. Killed in the end.
        signal.pause()
    except OSError:
        pass

async def main():
    ended = asyncio.get_running_loop().create_future()

    async def handle(reader, writer):
        # Goes when the growth has failed: without any memory nobody can go on.
        ballast = bytearray(20 * 2**20)
        try:
            await grow(reader, writer)
        except BaseException as error:
            ballast = None
            name = type(error).__name__
        else:
            name = "nothing"
        writer.transport.abort()
        if not ended.done():
            ended.set_result(name)

    limit = 2**40 if how == "line" else 2**16
    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=limit)
    address = server.sockets[0].getsockname()
    child = os.fork()
    if child == 0:
        peer(address)
        os._exit(0)
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * resource.getpagesize() + 100 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    name = await ended
    os.kill(child, 9)
    await asyncio.sleep(0)
    # The program's output is what the test judges; it stands before the end of a full process.
    os.write(1, f"{name}, and the server lives\\n".encode())
    os._exit(0)

if which == "stock":
    asyncio.run(main())
else:
    ouroloop.run(main())
"""

GROWING = [
    "first",
    "exactly",
    "all",
    "line",
    "soon",
    "queue",
    "timers",
    "write",
    "callbacks",
    "futures",
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the address space is Linux's")
@pytest.mark.parametrize("how", GROWING)
@pytest.mark.parametrize("which", ["stock", "native"])
def test_what_grows_ends_in_a_memory_error(which: str, how: str) -> None:
    command = [sys.executable, "-c", PROGRAM, which, how]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (ran.returncode, ran.stdout) == (0, "MemoryError, and the server lives\n"), ran.stderr


LARGE = """
import asyncio, resource, sys
import ouroloop

loop = ouroloop.new_event_loop()
queue, future = ouroloop.Queue(), loop.create_future()
for _ in range(2_000_000):
    queue.put_nowait(None)
    future.add_done_callback(len)
views = {
    "repr": lambda: repr(queue),
    "str": lambda: str(queue),
    "_queue": lambda: list(queue._queue),
    "_callbacks": lambda: future._callbacks,
    "_asyncio_awaited_by": lambda: getattr(future, "_asyncio_awaited_by", None),
    "remove_done_callback": lambda: future.remove_done_callback(print),
}
if sys.version_info < (3, 14):
    del views["_asyncio_awaited_by"]
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for name, view in views.items():
    try:
        view()
    except MemoryError:
        continue
    print("no error from", name)
print("lives")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the address space is Linux's")
def test_what_has_grown_can_be_looked_at() -> None:
    command = [sys.executable, "-c", LARGE]
    # What is freed goes back to the system, and is not there for the copies that must fail.
    freed = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=freed
    )
    assert (ran.returncode, ran.stdout) == (0, "lives\n"), ran.stderr
