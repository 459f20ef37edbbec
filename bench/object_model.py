"""CPU time of the object model's operations.

A round runs one process a loop, one after the other, and each process carries out all operations.
A process reports each operation as soon as it has measured it, so a loop that crashes or hangs in
one of them loses only that one and those after it.
"""

import asyncio
import gc
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence

from bench import loops
from bench.operations import BATCH, OPERATIONS, Operation
from bench.results import Section, rotated

LONGEST_RUN = 300
MOST_OPERATIONS = 1_000_000


def run(names: Sequence[str], rounds: int, seconds: float) -> Section:
    """Measure each operation for about ``seconds`` of CPU time a round."""
    section = Section("object model", "ns CPU an operation")
    for round_number in range(rounds):
        for name in rotated(names, round_number):
            _run_worker(section, name, seconds)
    return section


def _run_worker(section: Section, name: str, seconds: float) -> None:
    command = [sys.executable, "-m", "bench.object_model", name, str(seconds)]
    try:
        child = subprocess.run(
            command,
            cwd=loops.ROOT,
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN,
            check=False,
        )
        output, errors = child.stdout, child.stderr.strip().splitlines()
        failure = (errors or [f"exit status {child.returncode}"])[-1]
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode()
        failure = f"not finished after {LONGEST_RUN} s"
    reported = {}
    for line in output.splitlines():
        report = json.loads(line)
        reported[report["operation"]] = report
    for operation in OPERATIONS:
        series = section.series(operation, name)
        report = reported.get(operation, {"error": failure})
        if "nanoseconds" in report:
            series.samples.append(report["nanoseconds"])
        else:
            series.error = report["error"]


def _work(name: str, seconds: float) -> None:
    loops.prepare(name)
    with asyncio.Runner(loop_factory=lambda: loops.new_event_loop(name)) as runner:
        for operation_name, operation in OPERATIONS.items():
            report: dict[str, object] = {"operation": operation_name}
            try:
                report["nanoseconds"] = runner.run(_measure(operation, seconds))
            except Exception as error:
                report["error"] = repr(error)
            print(json.dumps(report), flush=True)


async def _measure(operation: Operation, seconds: float) -> float:
    """Time the operation, after a first batch that warms it up and tells how many fit."""
    wall = time.perf_counter()
    cpu = await _time(operation, BATCH)
    wall = time.perf_counter() - wall
    # An operation that mostly waits is held to four times the wanted time on the clock.
    batches = math.ceil(seconds / max(cpu, wall / 4))
    count = min(batches * BATCH, MOST_OPERATIONS)
    return await _time(operation, count) / count * 1e9


async def _time(operation: Operation, count: int) -> float:
    gc.collect()
    begin = time.process_time()
    await operation(count)
    return time.process_time() - begin


if __name__ == "__main__":
    _work(sys.argv[1], float(sys.argv[2]))
