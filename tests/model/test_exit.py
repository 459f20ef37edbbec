"""The interpreter's end finds native objects in every state, and ends as beside asyncio's."""

import json
import textwrap
from pathlib import Path

import pytest

from tests.conftest import RunPython

PROGRAM = str(Path(__file__).with_name("left_behind.py"))
WAYS = ["global", "cycle", "module", "modules", "builtins", "thread", "generator"]
MODES = ["loop", "installed"]

# What says that something went wrong in a finalizer, whatever the status.
FAULTS = ["panic", "Fatal", "SystemError", "a bug in"]
CRASHES = [*FAULTS, "sys.meta_path", "Exception ignored"]


def ends(run_python: RunPython, mode: str, way: str) -> dict[str, tuple[int, bool, list[str]]]:
    """Give for each wait the status, whether the task complained, and the traces of a crash."""
    done = run_python(PROGRAM, mode, way)
    assert done.returncode == 0, done.stderr
    return {
        kind: (
            status,
            "Task was destroyed but it is pending!" in stderr,
            [line for line in stderr.splitlines() if any(word in line for word in CRASHES)],
        )
        for kind, (status, stderr) in json.loads(done.stdout).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_wait_left_behind(run_python: RunPython, way: str) -> None:
    stock = ends(run_python, "stock", way)
    for mode in MODES:
        ours = ends(run_python, mode, way)
        for kind, (status, complained, traces) in stock.items():
            if traces:
                # asyncio's own finalizers fail here (3.13): ours may say it in other words.
                mine = ours[kind]
                assert mine[:2] == (status, complained)
                assert not any(word in line for line in mine[2] for word in FAULTS)
            else:
                assert ours[kind] == (status, complained, traces)


BUSY = {
    "switching": """
        async def main():
            while True:
                await asyncio.sleep(0)
        """,
    "timers": """
        async def main():
            loop = asyncio.get_running_loop()
            while True:
                for _ in range(100):
                    loop.call_later(0.0001, len, "")
                await asyncio.sleep(0.0001)
        """,
    "sockets": """
        async def main():
            loop = asyncio.get_running_loop()
            ends = socket.socketpair()
            for end in ends:
                end.setblocking(False)
            while True:
                await loop.sock_sendall(ends[0], b"ping")
                await loop.sock_recv(ends[1], 4)
        """,
    "streams": """
        async def main():
            one, two = socket.socketpair()
            _, writer = await asyncio.open_connection(sock=one)
            reader, kept = await asyncio.open_connection(sock=two)
            while True:
                writer.write(b"line" * 100 + b"\\n")
                await reader.readline()
        """,
    "executor": """
        async def main():
            loop = asyncio.get_running_loop()
            while True:
                await asyncio.gather(*(loop.run_in_executor(None, sum, [1]) for _ in range(8)))
        """,
    "flood": """
        async def main():
            loop = asyncio.get_running_loop()
            def flood():
                while True:
                    loop.call_soon_threadsafe(len, "")
                    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
                    if threading.active_count() > 100:
                        time.sleep(0.001)
            threading.Thread(target=flood, daemon=True).start()
            while True:
                await asyncio.sleep(0)
        """,
    "computing": """
        def compute():
            while True:
                sum(range(100))
        async def main():
            asyncio.get_running_loop().call_soon(compute)
            await asyncio.sleep(100)
        """,
    "subprocesses": """
        async def main():
            while True:
                child = await asyncio.create_subprocess_exec("true")
                await child.wait()
        """,
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", BUSY)
def test_a_busy_loop_in_a_daemon_thread(run_python: RunPython, mode: str, kind: str) -> None:
    program = (
        textwrap.dedent(
            """
            import asyncio, signal, socket, sys, threading, time, ouroloop
            if sys.argv[1] == "installed":
                ouroloop.install()
            """
        )
        + textwrap.dedent(BUSY[kind])
        + textwrap.dedent(
            """
            def run():
                # Nobody runs at exit for a loop that `asyncio.run` would close.
                loop = ouroloop.new_event_loop()
                asyncio.set_event_loop(loop)
                loop.run_until_complete(main())
            threading.Thread(target=run, daemon=True).start()
            time.sleep(0.2)
            sys.exit(7)
            """
        )
    )
    for _ in range(3):
        done = run_python("-c", program, mode)
        assert done.returncode == 7
        # The default executor is shut down before daemon threads are stopped.
        if kind not in {"executor", "subprocesses"}:
            assert done.stderr == ""
        assert not any(word in done.stderr for word in ("panic", "Fatal", "FATAL"))


LAST_DEEDS = {
    "process.kill": """
        async def make():
            return await asyncio.create_subprocess_exec("sleep", "100")
        def act(process):
            process.kill()
        """,
    "loop.close": """
        async def make():
            return asyncio.get_running_loop()
        def act(loop):
            loop.close()
            assert loop.is_closed()
        """,
    "transport.abort": """
        async def make():
            _, writer = await asyncio.open_connection(sock=socket.socketpair()[0])
            return writer
        def act(writer):
            writer.transport.abort()
        """,
    "asyncio.run": """
        async def make():
            _, writer = await asyncio.open_connection(sock=socket.socketpair()[0])
            return writer
        async def bye():
            await asyncio.sleep(0)
            async with asyncio.timeout(1):
                await asyncio.sleep(0.001)
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.001)
            except TimeoutError:
                return
            raise AssertionError
        def act(writer):
            run(bye())
        """,
    "task.cancel": """
        async def make():
            async def wait():
                await asyncio.sleep(100)
            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            return asyncio.get_running_loop(), task
        def act(parts, cancelled=asyncio.CancelledError):
            loop, task = parts
            task.cancel()
            try:
                loop.run_until_complete(task)
            except cancelled:
                pass
            loop.close()
        """,
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["stock", *MODES])
@pytest.mark.parametrize("deed", LAST_DEEDS)
@pytest.mark.parametrize("holder", ["global", "builtins", "cycle"])
def test_what_a_finalizer_does_at_the_end(
    run_python: RunPython, mode: str, deed: str, holder: str
) -> None:
    if (deed, holder) == ("task.cancel", "global"):
        pytest.skip("a cycle through the module's globals, which no collection finds any more")
    program = (
        textwrap.dedent(
            """
            import asyncio, builtins, os, socket, sys, warnings, ouroloop
            mode, holder = sys.argv[1:]
            warnings.simplefilter("ignore")
            if mode == "installed":
                ouroloop.install()
            new_event_loop = asyncio.new_event_loop if mode == "stock" else ouroloop.new_event_loop
            run = asyncio.run if mode == "stock" else ouroloop.run
            """
        )
        + textwrap.dedent(LAST_DEEDS[deed])
        + textwrap.dedent(
            """
            class Client:
                def __init__(self, held):
                    self.held = held
                    self.parts = act, os.write, print
                def __del__(self):
                    act, write, show = self.parts
                    try:
                        act(self.held)
                    except BaseException as error:
                        write(1, f"{type(error).__name__}: {error}".encode())
                    else:
                        write(1, b"done")
            loop = new_event_loop()
            asyncio.set_event_loop(loop)
            client = Client(loop.run_until_complete(make()))
            if holder == "cycle":
                client.itself = client
                del client
            elif holder == "builtins":
                builtins.client = client
                del client
            """
        )
    )
    done = run_python("-c", program, mode, holder)
    assert (done.returncode, done.stdout) == (0, "done")
    assert not any(word in done.stderr for word in CRASHES)


@pytest.mark.parametrize("how", [[], ["-m", "ouroloop"]])
def test_tasks_are_described_to_the_last(
    run_python: RunPython, tmp_path: Path, how: list[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import asyncio

            async def group():
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(asyncio.sleep(100))
                    tasks.create_task(asyncio.Event().wait())

            async def main():
                global task
                task = asyncio.create_task(group())
                await asyncio.sleep(0.01)

            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            """
        )
    )
    done = run_python(*how, str(program))
    told = done.stderr.splitlines()
    assert told[::2] == ["Task was destroyed but it is pending!"] * 3
    assert all(line.startswith("task: <Task pending name=") for line in told[1::2])
