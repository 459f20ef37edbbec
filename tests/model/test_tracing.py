"""``OUROLOOP_TRACE`` names a file that gets a line for each entry of the loop's queue."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, ouroloop

async def main():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    await future
    await asyncio.sleep(0.001)
    print(f"{id(asyncio.current_task()):#x}")

loop = ouroloop.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""


def traced(path: Path, program: str = PROGRAM) -> tuple[str, list[list[str]]]:
    """Run a program; return what it prints and the words of each line of its trace."""
    environment = {**os.environ, "OUROLOOP_TRACE": str(path)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip(), [line.split() for line in path.read_text().splitlines()]


def test_every_moment_of_a_task_is_told(tmp_path: Path) -> None:
    task, lines = traced(tmp_path / "trace")
    of_task = [line[:2] for line in lines if task in line[2:3]]
    step = [["begins", "task.step"], ["parks", "task"], ["ends", "task.step"]]
    woken = [["begins", "task.wakeup"], ["parks", "task"], ["ends", "task.wakeup"]]
    assert of_task[:1] == [["queued", "task.step"]]
    assert of_task[1:4] == step
    assert of_task[4:8] == [["queued", "task.wakeup"], *woken]
    assert of_task[8:] == [["queued", "task.wakeup"], woken[0], woken[2]]


def test_what_wakes_a_task_is_told_around_it(tmp_path: Path) -> None:
    task, lines = traced(tmp_path / "trace")
    woken = next(
        place for place, line in enumerate(lines) if line[:3] == ["queued", "task.wakeup", task]
    )
    assert lines[woken - 1][1] in {"handle.soon", "handle.call"}
    assert lines[woken + 1][0] == "ends"
    assert any(line[:2] == ["begins", "handle.call"] for line in lines)


def test_an_empty_name_asks_for_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "OUROLOOP_TRACE": ""}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_an_error_of_the_import(tmp_path: Path) -> None:
    environment = {**os.environ, "OUROLOOP_TRACE": str(tmp_path / "nowhere" / "trace")}
    run = subprocess.run(
        [sys.executable, "-c", "import ouroloop"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert (
        "FileNotFoundError: [Errno 2] OUROLOOP_TRACE names a file that cannot be written"
        in run.stderr
    )
    assert repr(environment["OUROLOOP_TRACE"]) in run.stderr


def test_a_pipe_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    environment = {**os.environ, "OUROLOOP_TRACE": str(path)}
    program = [sys.executable, "-c", "import ouroloop"]
    run = subprocess.run(
        program, check=False, env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert "OUROLOOP_TRACE" in run.stderr


def test_a_number_that_another_file_has_got_is_left_alone(tmp_path: Path) -> None:
    """The import's few descriptors lie below 64, and the program has files at all of these."""
    program = f"""
import os, ouroloop
os.closerange(3, 64)
files = [open(f"{tmp_path}/own{{number}}", "w") for number in range(3, 64)]
assert {{file.fileno() for file in files}} == set(range(3, 64))
{PROGRAM}
"""
    _, lines = traced(tmp_path / "trace", program)
    assert lines == []
    assert {own.read_text() for own in tmp_path.glob("own*")} == {""}


@pytest.mark.parametrize("debug", [False, True])
def test_what_begins_ends(tmp_path: Path, debug: bool) -> None:
    set_debug = f"async def main():\n    asyncio.get_running_loop().set_debug({debug})"
    _, lines = traced(tmp_path / "trace", PROGRAM.replace("async def main():", set_debug, 1))
    run = [line for line in lines if line[0] in {"begins", "ends"}]
    assert len(run) >= 10
    for begins, ends in zip(run[::2], run[1::2], strict=True):
        assert (begins[0], ends[0]) == ("begins", "ends")
        assert begins[1:] == ends[1:]
