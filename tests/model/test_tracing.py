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

asyncio.run(main(), loop_factory=ouroloop.new_event_loop)
"""
if sys.version_info < (3, 12):
    PROGRAM = PROGRAM.replace(
        "asyncio.run(main(), loop_factory=ouroloop.new_event_loop)", "ouroloop.run(main())"
    )


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
    assert lines[woken - 1][:2] == ["begins", "handle.soon"]
    assert lines[woken + 1][:2] == ["ends", "handle.soon"]
    assert any(line[:2] == ["begins", "future.expire"] for line in lines)


def test_nobody_watches_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    environment = {key: value for key, value in os.environ.items() if key != "OUROLOOP_TRACE"}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, cwd=tmp_path)
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_an_error_of_the_import(tmp_path: Path) -> None:
    environment = {**os.environ, "OUROLOOP_TRACE": str(tmp_path / "nowhere" / "trace")}
    run = subprocess.run(
        [sys.executable, "-c", "import ouroloop"], check=False, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "FileNotFoundError" in run.stderr


@pytest.mark.parametrize("debug", [False, True])
def test_debug_mode_is_told_too(tmp_path: Path, debug: bool) -> None:
    program = PROGRAM.replace(
        "async def main():",
        f"async def main():\n    asyncio.get_running_loop().set_debug({debug})",
        1,
    )
    task, lines = traced(tmp_path / "trace", program)
    begun = [line for line in lines if line[0] == "begins" and task in line[2:]]
    ended = [line for line in lines if line[0] == "ends" and task in line[2:]]
    assert len(begun) == len(ended) == 3
