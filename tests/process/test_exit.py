"""Who finds out about a child's end: the loop, a thread, or a watcher that the program has set."""

import asyncio
import logging
import os
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from typing import Any

import ouroloop
import pytest

from tests.support.loops import Factory, Run, until
from tests.support.releases import stock_has

from .recorder import child


async def exit_status() -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(5)")
    return await process.wait()


def test_in_another_thread(factory: Factory) -> None:
    found: list[int] = []

    def work() -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            found.append(runner.run(exit_status()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5, 5, 5]


def test_a_status_that_somebody_else_has_read(
    run: Run, caplog: pytest.LogCaptureFixture, factory: Factory
) -> None:
    if factory is asyncio.SelectorEventLoop and sys.version_info < (3, 12):
        pytest.skip("a thread of asyncio's waits for the child and may get the status")

    async def main() -> int | None:
        protocol = await child("input()")
        pid = protocol.transport.get_pid()
        assert pid is not None
        stdin: Any = protocol.transport.get_pipe_transport(0)
        os.kill(pid, 9)
        # Between the child's end and this, the loop does not run.
        os.waitpid(pid, 0)
        stdin.close()
        await until(lambda: "lost" in protocol.calls)
        protocol.transport.close()
        return protocol.transport.get_returncode()

    answer, _ = run(main())
    assert answer == 255
    (record,) = caplog.records
    assert "will report returncode 255" in record.getMessage()


def test_a_dead_child_keeps_its_number_until_the_loop_has_run() -> None:
    """A signal sent in between cannot hit a process that has got the number."""

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
        )
        process.kill()
        for _ in range(2):
            assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT) is not None
        assert process.returncode is None
        assert await process.wait() == -signal.SIGKILL
        with pytest.raises(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        await process.communicate()

    with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
        runner.run(main())


# A filter that answers EPERM to pidfd_open (434 everywhere) and lets everything else through.
FORBID = """
import ctypes, struct
def forbid_pidfd_open():
    program = b"".join(struct.pack("HBBI", *line) for line in (
        (0x20, 0, 0, 0), (0x15, 0, 1, 434), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)))
    buffer = ctypes.create_string_buffer(program)
    filter = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.create_string_buffer(filter)) == 0, ctypes.get_errno()
"""


def test_where_the_kernel_refuses_descriptors_of_processes(
    run_python: Callable[..., Any],
) -> None:
    program = FORBID + textwrap.dedent("""
        import asyncio, os, sys, threading
        import ouroloop
        forbid_pidfd_open()
        try:
            os.pidfd_open(os.getpid())
        except PermissionError:
            pass
        else:
            raise SystemExit("pidfd_open is still there")
        async def one(status):
            process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", f"echo {status}; exit {status}", stdout=-1)
            output, _ = await process.communicate()
            assert int(output) == status == process.returncode
        async def main():
            await asyncio.gather(*map(one, range(20)))
            process = await asyncio.create_subprocess_exec("cat", stdin=-1)
            process.kill()
            assert await process.wait() == -9
        with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
            runner.run(main())
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("nothing left")
    """)
    done = run_python("-W", "error", "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing left\n", "")


WATCHERS = (
    "ThreadedChildWatcher",
    "PidfdChildWatcher",
    "SafeChildWatcher",
    "FastChildWatcher",
    "MultiLoopChildWatcher",
)


def noting(name: str, seen: list[int]) -> Any:
    """Make a watcher of a class derived from the named one, which keeps whom it is to watch."""

    class Noting(getattr(asyncio, name)):  # type: ignore[misc]
        def add_child_handler(self, pid: int, callback: Any, *args: Any) -> None:
            seen.append(pid)
            super().add_child_handler(pid, callback, *args)

    return Noting()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="watchers are gone")
@pytest.mark.parametrize("name", WATCHERS)
def test_a_watcher_of_the_programs_is_used(factory: Factory, name: str) -> None:
    seen: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        watcher = noting(name, seen)
        loop = factory()
        asyncio.set_event_loop(loop)
        watcher.attach_loop(loop)
        asyncio.set_child_watcher(watcher)
        try:
            assert loop.run_until_complete(exit_status()) == 5
        finally:
            asyncio.set_child_watcher(None)
            loop.close()
            asyncio.set_event_loop(None)
    assert len(seen) == 1


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="watchers are gone")
def test_a_watcher_that_is_not_active(factory: Factory) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_child_watcher(asyncio.SafeChildWatcher())
        try:
            message = r"^asyncio\.get_child_watcher\(\) is not activated, subprocess support"
            with (
                asyncio.Runner(loop_factory=factory) as runner,
                pytest.raises(RuntimeError, match=message),
            ):
                runner.run(exit_status())
        finally:
            asyncio.set_child_watcher(None)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="watchers are gone")
def test_no_watcher_is_made_of_our_own_accord() -> None:
    policy: Any = asyncio.DefaultEventLoopPolicy()
    asyncio.set_event_loop_policy(policy)
    try:
        with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
            assert runner.run(exit_status()) == 5
        assert policy._watcher is None
    finally:
        asyncio.set_event_loop_policy(None)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="watchers are gone")
def test_the_watcher_that_a_stock_loop_has_made_is_not_used() -> None:
    policy: Any = asyncio.DefaultEventLoopPolicy()
    asyncio.set_event_loop_policy(policy)
    try:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            assert runner.run(exit_status()) == 5
        seen: list[int] = []
        usual = type(policy._watcher)
        add = usual.add_child_handler

        def noted(self: Any, pid: int, *rest: Any) -> None:
            seen.append(pid)
            add(self, pid, *rest)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(usual, "add_child_handler", noted)
            with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
                assert runner.run(exit_status()) == 5
        assert seen == []
    finally:
        asyncio.set_event_loop_policy(None)


def test_nothing_is_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert run(exit_status()) == (5, [])
    assert [record for record in caplog.records if record.name == "asyncio"] == []


ORPHAN = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "input()"], stdin=0)
"""


def test_wait_ends_with_the_child_and_not_with_its_pipes(run: Run, factory: Factory) -> None:
    if factory is asyncio.SelectorEventLoop and not stock_has((3, 13, 15), (3, 14, 7)):
        pytest.skip("asyncio waits for the pipes too")

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            ORPHAN,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        # Its own child has the other end of the pipe and waits for a line.
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert not process.stdout.at_eof()
        process.stdin.close()
        await process.stdout.read()

    run(main())


def test_signals_for_a_child_whose_end_nobody_has_seen(run: Run, factory: Factory) -> None:
    """``Popen`` would reap it and keep its status."""
    if factory is asyncio.SelectorEventLoop and not stock_has((3, 13, 0)):
        pytest.skip("the status is lost")

    async def main() -> int | None:
        protocol = await child("raise SystemExit(7)")
        pid = protocol.transport.get_pid()
        assert pid is not None
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        for send in (protocol.transport.terminate, protocol.transport.kill):
            send()
        protocol.transport.send_signal(signal.SIGUSR1)
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) is not None
        await until(lambda: "lost" in protocol.calls)
        protocol.transport.close()
        return protocol.transport.get_returncode()

    answer, reported = run(main())
    assert (answer, reported) == (7, [])
