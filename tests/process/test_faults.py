"""Children that die at any moment, programs that are missing, descriptors that run out."""

import asyncio
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ouroloop
import pytest

from tests.support.descriptors import children, open_descriptors
from tests.support.loops import Run, reporting_runner_of, until

from .recorder import Recorder, child

WAITS = "import sys; sys.stdin.read()"


def test_a_missing_program(run: Run) -> None:
    async def main() -> None:
        before = open_descriptors()
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/no/such/program", stdin=-1, stdout=-1)
        assert open_descriptors() == before

    assert run(main())[1] == []


def test_a_failing_preexec_fn(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(Exception, match="preexec_fn"):
            await asyncio.create_subprocess_exec("true", preexec_fn=lambda: 1 / 0)

    run(main())


@contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Leave no more than ``spare`` descriptors to open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open("/dev/null", os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + spare, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_no_descriptors_for_the_pipes(run: Run) -> None:
    async def main() -> None:
        with few_descriptors(3), pytest.raises(OSError, match="Too many open files"):
            await asyncio.create_subprocess_exec("true", stdin=-1, stdout=-1, stderr=-1)
        process = await asyncio.create_subprocess_exec("true", stdin=-1, stdout=-1, stderr=-1)
        await process.communicate()

    run(main())


@pytest.mark.parametrize("spare", range(8))
def test_descriptors_that_run_out_at_any_moment(spare: int) -> None:
    """Either the call fails and nothing is left, or the child runs and is waited for."""

    async def main() -> None:
        with few_descriptors(spare):
            try:
                process = await asyncio.create_subprocess_exec("true", stdin=-1, stdout=-1)
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
                return
            assert await asyncio.wait_for(process.communicate(), 20) == (b"", None)
        assert process.returncode == 0

    with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("turns", range(6))
def test_cancelled_at_every_stage(run: Run, turns: int) -> None:
    """The child is killed and reaped before the cancellation is over."""

    async def main() -> None:
        before = children()
        spawning = asyncio.ensure_future(
            asyncio.create_subprocess_exec(sys.executable, "-c", WAITS, stdin=-1, stdout=-1)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        if spawning.cancel():
            with pytest.raises(asyncio.CancelledError):
                await spawning
            assert children() == before
        else:
            process = await spawning
            process.kill()
            await process.communicate()

    assert run(main())[1] == []


def test_killed_while_it_is_being_connected(run: Run) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WAITS, stdin=-1, stdout=-1, preexec_fn=lambda: os.kill(0, 0)
        )
        os.kill(process.pid, signal.SIGKILL)
        assert await process.communicate(b"x" * 1_000_000) == (b"", None)
        assert process.returncode == -signal.SIGKILL

    assert run(main())[1] == []


def test_killed_during_communicate(run: Run) -> None:
    program = "import sys; sys.stdin.read(100_000); print(1, flush=True); sys.stdin.read()"

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdin=-1, stdout=-1
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * 150_000)
        await process.stdout.readline()
        talking = asyncio.ensure_future(process.communicate(b"x" * 3_000_000))
        await asyncio.sleep(0)
        process.kill()
        assert await talking == (b"", None)
        assert process.returncode == -signal.SIGKILL

    assert run(main())[1] == []


def test_a_child_that_closes_its_stdin(run: Run) -> None:
    program = "import os; os.close(0); print('closed', flush=True); os.read(1, 0) if 0 else None"

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdin=-1, stdout=-1
        )
        output, _ = await process.communicate(b"x" * 3_000_000)
        assert output == b"closed\n"
        assert process.returncode == 0

    assert run(main())[1] == []


def test_a_cancelled_wait_leaves_the_child(run: Run) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", WAITS, stdin=-1)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.01)
        assert process.returncode is None
        await process.communicate(b"")
        assert process.returncode == 0

    run(main())


def test_handlers_of_sigchld_are_left_alone(run: Run) -> None:
    seen: list[int] = []

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()
        await until(lambda: seen)

    before = signal.signal(signal.SIGCHLD, lambda number, _: seen.append(number))
    try:
        run(main())
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert signal.SIGCHLD in seen


@pytest.mark.slow
def test_many_short_processes(run: Run) -> None:
    async def main() -> None:
        before = open_descriptors()
        limit = asyncio.Semaphore(20)

        async def one(number: int) -> None:
            async with limit:
                process = await asyncio.create_subprocess_exec(
                    "/bin/sh", "-c", f"echo {number}; exit {number % 100}", stdout=-1
                )
                output, _ = await process.communicate()
                assert (int(output), process.returncode) == (number, number % 100)

        await asyncio.gather(*map(one, range(1000)))
        await until(lambda: open_descriptors() == before)

    assert run(main())[1] == []


def test_the_loop_ends_before_the_child(factory: Callable[[], Any]) -> None:
    """The transport's last words kill what still runs."""
    loop = factory()

    async def main() -> Recorder:
        return await child(WAITS)

    protocol = loop.run_until_complete(main())
    process: Any = protocol.transport.get_extra_info("subprocess")
    protocol.transport.kill()
    loop.run_until_complete(until(lambda: "lost" in protocol.calls))
    protocol.transport.close()
    loop.close()
    assert process.returncode == -signal.SIGKILL


def test_a_child_that_cannot_be_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception handler hears of it, the child's own descriptor goes, and the loop goes on.

    asyncio's watchers differ by version; CPython 3.15 has a test of its own for its one.
    """
    asked: list[int] = []

    def refuse(pid: int, options: int) -> Any:
        asked.append(pid)
        raise OSError(errno.EIO, "not today")

    async def main() -> None:
        before = open_descriptors()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", WAITS, stdin=-1)
        monkeypatch.setattr(os, "waitpid", refuse)
        assert process.stdin is not None
        process.stdin.close()
        await until(lambda: asked)
        monkeypatch.undo()
        assert asked == [process.pid]
        os.waitpid(process.pid, 0)
        transport: Any = process._transport  # type: ignore[attr-defined]
        transport._process_exited(0)
        assert await process.wait() == 0
        assert open_descriptors() == before

    _, [context] = reporting_runner_of(ouroloop.new_event_loop)(main())
    assert context["exception"].errno == errno.EIO
    assert context["message"].startswith("Exception in callback")
