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


ENDS = """
import asyncio, gc, os, resource, sys, weakref
import ouroloop

loop = ouroloop.new_event_loop()
pipes = [os.pipe() for _ in range(400)]
for reading, _ in pipes:
    loop.add_reader(reading, len, "")
for _ in range(500_000):
    loop.call_later(1000, len, "")
    loop.call_soon(len, "")
if sys.argv[1] == "collected":
    loop.itself = loop
gc.disable()
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
if sys.argv[1] == "closed":
    loop.close()
reference = weakref.ref(loop)
del loop
gc.collect()
print("lives, and the loop", "is there" if reference() else "is gone")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the address space is Linux's")
@pytest.mark.parametrize("how", ["closed", "dropped", "collected"])
@pytest.mark.parametrize("safe", ["0", "1"])
def test_a_loop_with_much_to_do_ends_without_memory(how: str, safe: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ENDS, how]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "OUROLOOP_SAFE": safe},
    )
    assert (ran.returncode, ran.stdout) == (0, "lives, and the loop is gone\n"), ran.stderr


SMALL = """
import asyncio, contextvars, os, resource, sys
import ouroloop

# The interpreter does not survive a thread's first context without memory.
contextvars.copy_context()
loop = ouroloop.new_event_loop()
future = loop.create_future()
reading, _ = os.pipe()

def calls():
    return {
        "add_reader": lambda: loop.add_reader(reading, len),
        "add_signal_handler": lambda: loop.add_signal_handler(10, len),
        "cancel": lambda: loop.create_future().cancel("why"),
        "create_connection": lambda: loop.create_connection(asyncio.Protocol),
        "create_datagram_endpoint": lambda: loop.create_datagram_endpoint(asyncio.DatagramProtocol),
        "create_server": lambda: loop.create_server(asyncio.Protocol),
        "create_task": lambda: loop.create_task(ouroloop.sleep(0)),
        "create_unix_server": lambda: loop.create_unix_server(asyncio.Protocol, "/nowhere"),
        "error": lambda: future.result(),
        "getaddrinfo": lambda: loop.getaddrinfo("localhost", 80),
        "repr": lambda: repr(loop),
        "run_in_executor": lambda: loop.run_in_executor(None, len),
        "sleep": lambda: ouroloop.sleep(1),
        "timeout": lambda: ouroloop.timeout(5),
        "wait_for": lambda: ouroloop.wait_for(future, 1),
        "wrong": lambda: ouroloop.Queue(5, 6),
    }

calls = calls()
ended = dict.fromkeys(calls, "not called")
kept = [None] * 1_000_000
names = iter(list(calls))
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 20 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
size, place = 2**24, 0
while size >= 32 and place < len(kept):
    try:
        kept[place] = bytearray(size)
    except MemoryError:
        size //= 2
    else:
        place += 1
for name in names:
    try:
        try:
            calls[name]()
        except MemoryError:
            ended[name] = MemoryError
        except BaseException as error:
            ended[name] = error
        else:
            ended[name] = None
    except MemoryError:
        pass
kept = None
if MemoryError not in ended.values():
    os._exit(2)
os.write(1, b"lives\\n")
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the address space is Linux's")
def test_what_is_small_finds_memory_kept_back_for_it() -> None:
    command = [sys.executable, "-W", "ignore", "-c", SMALL]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    # The program itself may find no memory; that is an exception, and no death. 2: there was memory.
    assert ran.returncode in {0, 1}, ran.stderr
    assert "memory allocation of" not in ran.stderr


TEXTS = """
import asyncio, os, resource, sys
import ouroloop

text = "x" * 2**25

class Shown:
    def __repr__(self):
        return text
    __str__ = __repr__

shown, loop = Shown(), ouroloop.new_event_loop()
loop.set_debug(sys.argv[1] == "debug")
Named = type(text, (), {})

async def main():
    lock = ouroloop.Lock()
    await ouroloop.wait([loop.create_future()], return_when=shown)

calls = [
    lambda: loop.call_soon(shown),
    lambda: loop.add_reader(shown, len),
    lambda: loop.add_signal_handler(shown, len),
    lambda: loop.set_exception_handler(shown),
    lambda: loop.call_exception_handler({"message": "m", "found": shown}),
    lambda: loop.create_task(shown),
    lambda: loop.create_task(main(), context=Named()),
    lambda: loop.run_until_complete(main()),
    lambda: loop.getaddrinfo(shown, shown).send(None),
    lambda: repr(ouroloop.Timeout(shown)),
    lambda: ouroloop.wrap_future(shown),
    lambda: ouroloop.StreamReader(loop=loop).readuntil(text.encode()).send(None),
    lambda: repr(ouroloop.StreamWriter(shown, None, None, loop)),
]
pages = int(open("/proc/self/statm").read().split()[0])
for room in (4, 40, 72, 104, 136):
    most = pages * resource.getpagesize() + room * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    for call in calls:
        try:
            call()
        except BaseException:
            pass
os.write(1, b"lives\\n")
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the address space is Linux's")
@pytest.mark.parametrize("mode", ["debug", "plain"])
def test_texts_that_find_no_memory(mode: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", TEXTS, mode]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (ran.returncode, ran.stdout) == (0, "lives\n"), ran.stderr[-2000:]
