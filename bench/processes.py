"""What it takes to start a process that does nothing, and to wait for its end.

Time on the clock, since most of it is the kernel's and the child's: a process begins when the last one has ended.
A round runs one measuring process a loop, one after the other.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence

from bench import loops
from bench.results import Section, rotated

PROGRAM = "true"
WARM_UP = 5
LONGEST_RUN = 300
ROW = f'create_subprocess_exec("{PROGRAM}")'


def run(names: Sequence[str], rounds: int, count: int) -> Section:
    """Start ``count`` processes a round, one after the other."""
    section = Section("processes", "µs a process")
    for round_number in range(rounds):
        for name in rotated(names, round_number):
            series = section.series(ROW, name)
            command = [sys.executable, "-m", "bench.processes", name, str(count)]
            try:
                child = subprocess.run(
                    command,
                    cwd=loops.ROOT,
                    capture_output=True,
                    text=True,
                    timeout=LONGEST_RUN,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                series.error = f"not finished after {LONGEST_RUN} s"
                continue
            if child.returncode != 0:
                lines = child.stderr.strip().splitlines() or [f"exit status {child.returncode}"]
                series.error = lines[-1]
                continue
            report = json.loads(child.stdout)
            series.samples.append(report["microseconds"])
            series.details.setdefault("cpu_us", []).append(report["cpu_us"])
    return section


async def _start(count: int) -> None:
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(PROGRAM)
        if await process.wait() != 0:
            raise RuntimeError(f"{PROGRAM} failed")


async def _measure(count: int) -> dict[str, float]:
    """Time on the clock and this process's own CPU time, without that of the children."""
    await _start(WARM_UP)
    wall, cpu = time.perf_counter(), time.process_time()
    await _start(count)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"microseconds": wall / count * 1e6, "cpu_us": cpu / count * 1e6}


def _work(name: str, count: int) -> None:
    loops.prepare(name)
    with asyncio.Runner(loop_factory=lambda: loops.new_event_loop(name)) as runner:
        print(json.dumps(runner.run(_measure(count))))


if __name__ == "__main__":
    _work(sys.argv[1], int(sys.argv[2]))
