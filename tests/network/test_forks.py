"""Loops and servers in forked children, which leave those of the parent alone."""

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ouroloop
import pytest

from tests.conftest import RunPython
from tests.support.loops import until

from .forks import forked, in_child, is_open
from .peers import Serving

REFUSAL = (
    "RuntimeError: This event loop belongs to the parent process; a forked child needs an event "
    "loop of its own"
)


@pytest.fixture
def loop() -> Iterator[ouroloop.Loop]:
    loop = ouroloop.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("multiplexer", ["epoll", "poll", "select"])
def test_a_loop_that_did_not_run_is_the_childs(multiplexer: str) -> None:
    """What daemons and servers with workers do: the loop is made first."""
    loop = ouroloop.Loop(multiplexer=multiplexer)
    near, far = socket.socketpair()
    near.setblocking(False)
    heard: list[object] = []
    loop.add_reader(near, lambda: heard.append(near.recv(10)))
    loop.add_signal_handler(signal.SIGUSR1, heard.append, "before")
    loop.call_soon(heard.append, "soon")
    loop.call_later(0.001, heard.append, "timer")
    letter = loop.create_future()

    async def work() -> list[object]:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(letter.set_result, None))
        thread.start()
        await letter
        thread.join()
        far.send(b"data")
        await until(lambda: len(heard) == 5)
        return sorted(map(str, heard))

    def run() -> list[object]:
        loop.add_signal_handler(signal.SIGUSR2, heard.append, "after")
        return loop.run_until_complete(work())

    async def parent() -> None:
        await until(lambda: "timer" in heard)

    with near, far:
        told = ["after", "b'data'", "before", "soon", "timer"]
        assert in_child(run) == str(told)
        # The parent's loop has heard of nothing.
        loop.run_until_complete(parent())
        assert heard == ["soon", "timer"]
        heard.clear()
        loop.call_soon(heard.append, "soon")
        loop.call_later(0.001, heard.append, "timer")
        assert str(run()) == str(told)
        loop.close()


def test_a_loop_that_has_run_in_the_parent_serves_in_the_child(loop: ouroloop.Loop) -> None:
    async def serve() -> asyncio.Server:
        return await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)

    async def ask(server: asyncio.Server) -> bytes:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.close()
        return await reader.read()

    server = loop.run_until_complete(serve())
    for _ in range(2):
        assert in_child(lambda: loop.run_until_complete(ask(server))) == "b''"
    assert loop.run_until_complete(ask(server)) == b""
    server.close()
    loop.run_until_complete(server.wait_closed())


def test_a_run_ends_where_it_was_forked(loop: ouroloop.Loop) -> None:
    ran = []
    with forked() as child:
        loop.call_soon(child.fork)
        loop.call_soon(ran.append, 1)
        loop.call_soon(loop.stop)
        try:
            loop.run_forever()
        except RuntimeError as error:
            child.exit(f"{ran} {loop.is_running()} {type(error).__name__}: {error}")
            raise
        assert ran == [1]
    assert child.words() == f"[] False {REFUSAL}"


def test_an_error_of_the_child_leaves_the_run(loop: ouroloop.Loop) -> None:
    async def main(child: Any) -> None:
        if child.fork():
            raise SystemExit("the child's end")

    with forked() as child:
        try:
            loop.run_until_complete(main(child))
        except SystemExit as end:
            child.exit(f"{end}")
            raise
    assert child.words() == "the child's end"


def test_nothing_runs_in_the_child(loop: ouroloop.Loop) -> None:
    async def main() -> str:
        def look() -> Any:
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            # It stands in the middle of a callback of the inherited loop.
            with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
                loop.close()
            return loop.is_running()

        return in_child(look)

    assert loop.run_until_complete(main()) == "True"


def test_a_child_has_a_loop_of_its_own(loop: ouroloop.Loop) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def childs() -> str:
        assert asyncio.get_running_loop() is not loop
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        server.close()
        await asyncio.sleep(0.001)
        return line.decode().strip()

    def run() -> str:
        with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
            return runner.run(childs())

    async def main() -> str:
        return in_child(run)

    # Forked while the loop rests, and while it runs.
    assert in_child(run) == "hello"
    assert loop.run_until_complete(main()) == "hello"
    loop.run_until_complete(asyncio.sleep(0.001))


def test_the_task_that_forked_does_not_run_in_the_child(loop: ouroloop.Loop) -> None:
    def run() -> list[Any]:
        seen: list[Any] = []
        own = ouroloop.new_event_loop()

        def look() -> None:
            seen.append(asyncio.current_task())
            own.stop()

        own.call_soon(look)
        own.run_forever()
        own.close()
        return seen

    async def main() -> str:
        assert asyncio.current_task() is not None
        return in_child(run)

    assert loop.run_until_complete(main()) == "[None]"


def test_closing_an_inherited_loop_disturbs_nobody(loop: ouroloop.Loop) -> None:
    near, far = socket.socketpair()
    got: list[bytes] = []

    def close() -> bool:
        loop.remove_reader(near)
        loop.close()
        return loop.is_closed()

    with near, far:
        near.setblocking(False)

        def read() -> None:
            got.append(near.recv(16))
            loop.stop()

        loop.add_reader(near, read)
        assert in_child(close) == "True"
        far.send(b"x")
        loop.run_forever()
        assert got == [b"x"]
        assert loop.remove_reader(near)


def descriptors() -> set[int]:
    listed = Path("/proc/self/fd").iterdir()
    return {int(path.name) for path in listed if path.is_symlink()}


def test_a_loop_that_is_collected_in_the_child() -> None:
    """It closes its descriptors there, warns of nothing and leaves the kernel's objects alone."""
    before = descriptors()
    loops = [ouroloop.new_event_loop()]
    own = descriptors() - before
    assert own
    near, far = socket.socketpair()
    with near, far:
        loops[0].add_reader(near, loops[0].stop)

        def collect() -> str:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                loops.clear()
                gc.collect()
            return f"{[fd for fd in own if is_open(fd)]} {[str(it.message) for it in caught]}"

        assert in_child(collect) == "[] []"
        far.send(b"x")
        # It stops when it sees the byte.
        loops[0].run_forever()
        # The way in from other threads works as before.
        waking = threading.Thread(target=loops[0].call_soon_threadsafe, args=(loops[0].stop,))
        loops[0].remove_reader(near)
        waking.start()
        loops[0].run_forever()
        waking.join()
        loops[0].close()


def test_a_loop_that_ran_watches_nothing_in_the_child(loop: ouroloop.Loop) -> None:
    near, far = socket.socketpair()

    def fork() -> tuple[str, str]:
        return (
            in_child(lambda: loop.add_reader(near, print)),
            in_child(lambda: loop.add_writer(near, print)),
        )

    async def main() -> tuple[str, str]:
        return fork()

    with near, far:
        assert loop.run_until_complete(main()) == (REFUSAL, REFUSAL)
        assert not loop.remove_writer(near)


def test_calls_from_the_child_do_not_reach_the_parent(loop: ouroloop.Loop) -> None:
    calls: list[str] = []

    async def main() -> list[str]:
        def call() -> None:
            loop.call_soon(calls.append, "soon")
            loop.call_soon_threadsafe(calls.append, "threadsafe")

        assert in_child(call) == "None"
        await asyncio.sleep(0.001)
        return calls

    assert loop.run_until_complete(main()) == []


def test_signals_of_the_child_are_the_childs(loop: ouroloop.Loop) -> None:
    calls: list[str] = []

    async def main() -> None:
        loop.add_signal_handler(signal.SIGUSR1, calls.append, "signal")
        try:
            assert in_child(lambda: os.kill(os.getpid(), signal.SIGUSR1)) == "None"
            await asyncio.sleep(0.001)
            assert calls == []
            os.kill(os.getpid(), signal.SIGUSR1)
            await until(lambda: calls == ["signal"])
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)

    loop.run_until_complete(main())


def test_an_inherited_loop_keeps_off_the_childs_signals(loop: ouroloop.Loop) -> None:
    calls: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, calls.append, "parent's")

    async def childs() -> list[str]:
        own = asyncio.get_running_loop()
        own.add_signal_handler(signal.SIGUSR1, calls.append, "child's")
        loop.close()
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: bool(calls))
        return calls

    def run() -> list[str]:
        with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
            return runner.run(asyncio.wait_for(childs(), 10))

    assert in_child(run) == '["child\'s"]'
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run_until_complete(until(lambda: bool(calls)))
    assert calls == ["parent's"]
    assert loop.remove_signal_handler(signal.SIGUSR1)


def test_a_wake_up_descriptor_of_somebody_else_is_inherited(loop: ouroloop.Loop) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        loop.run_until_complete(asyncio.sleep(0))
        before = signal.set_wakeup_fd(near.fileno())
        try:
            # asyncio takes it away from 3.12 on.
            kept = in_child(lambda: signal.set_wakeup_fd(-1))
            expected = near.fileno() if not hasattr(asyncio.events, "on_fork") else -1
            assert kept == str(expected)
        finally:
            assert signal.set_wakeup_fd(before) == near.fileno()


def test_a_server_is_closed_in_the_child(loop: ouroloop.Loop, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = loop.run_until_complete(loop.create_unix_server(Serving, path))

    def close() -> tuple[Any, ...]:
        server.close()
        return server.sockets

    assert in_child(close) == "()"
    assert Path(path).is_socket()
    assert server.is_serving()

    async def connect() -> bytes:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    assert loop.run_until_complete(connect()) == b"hello\n"
    server.close()
    loop.run_until_complete(server.wait_closed())


def test_a_server_that_is_collected_in_the_child(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    loops = [ouroloop.new_event_loop()]
    kept = [loops[0].run_until_complete(loops[0].create_unix_server(Serving, path))]

    def collect() -> None:
        with warnings.catch_warnings():
            # The listening socket is Python's own, which warns.
            warnings.simplefilter("ignore", ResourceWarning)
            kept.clear()
            loops.clear()
            gc.collect()

    assert in_child(collect) == "None"
    loop, server = loops[0], kept[0]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        loop.run_until_complete(until(lambda: len(Serving.made) == 1))
    loop.run_until_complete(until(lambda: Serving.made[0].lost))
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


def test_a_fork_by_another_thread(loop: ouroloop.Loop) -> None:
    """The loop's own thread, which sleeps in the kernel meanwhile, does not exist in the child."""
    answers: list[str] = []

    def close() -> str:
        running = loop.is_running()
        loop.close()
        return f"{running} {loop.is_closed()}"

    def fork() -> None:
        answers.append(in_child(close))
        answers.append(in_child(lambda: loop.run_until_complete(asyncio.sleep(0))))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=fork)
    loop.call_soon(thread.start)
    with warnings.catch_warnings():
        # In the child a coroutine was never awaited.
        warnings.simplefilter("ignore", RuntimeWarning)
        loop.run_forever()
    thread.join()
    assert answers == ["False True", REFUSAL]


def child_of_multiprocessing(pipe: Any) -> None:
    async def main() -> int:
        await asyncio.sleep(0.001)
        return os.getpid()

    with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
        pipe.send(runner.run(main()))


# The child uses nothing of what other threads of the test session may hold.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_multiprocessing(loop: ouroloop.Loop) -> None:
    context = multiprocessing.get_context("fork")

    async def main() -> None:
        near, far = context.Pipe()
        process = context.Process(target=child_of_multiprocessing, args=(far,))
        process.start()
        far.close()
        arrived = asyncio.Event()
        loop.add_reader(near, arrived.set)
        await arrived.wait()
        loop.remove_reader(near)
        assert near.recv() == process.pid
        near.close()
        process.join()
        assert process.exitcode == 0
        process.close()

    loop.run_until_complete(asyncio.wait_for(main(), 20))


ENDING = """
import asyncio, os, sys, warnings
import ouroloop

warnings.simplefilter("ignore", DeprecationWarning)

async def main():
    other = asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    child = os.fork()
    if not child:
        {end}
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

try:
    with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
        runner.run(main())
except ArithmeticError:
    sys.exit(7)
"""


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit(5)", 5), ("raise ArithmeticError", 7), ("sys.exit()", 0)]
)
def test_a_child_ends_by_what_it_raises(run_python: RunPython, end: str, status: int) -> None:
    """Whatever ``Runner`` would have the loop do before that."""
    done = run_python("-c", ENDING.format(end=end))
    assert done.stdout == f"{status}\n", done.stderr
    assert "never awaited" not in done.stderr
