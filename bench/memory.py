"""Whether memory is given back.

Each case is done a little first, so that what is set up once is there; then resident memory is
read, the work is done, and it is read again. For tasks and timers the process itself is looked at,
for connections the server's process.
"""

import asyncio
import gc
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import loops
from bench.programs import FLOOR, RunError, Server, load, serving
from bench.results import Section, Series
from bench.servers.serving import allow_many_descriptors

TOLERANCE = 1.10
WARM_UP_SHARE = 20
BATCH = 1000
FAR = 3600.0
SETTLE_SECONDS = 0.5
STALLED_SECONDS = 10
MESSAGE = bytes(64)
LONGEST_RUN = 300

Case = Callable[[int], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Scale:
    """How many of each."""

    objects: int = 1_000_000
    connections: int = 100_000
    idle: int = 10_000


def run(names: Sequence[str], scale: Scale) -> list[Section]:
    """Measure resident memory after each case, and what a connection takes that is only open."""
    return [_growth(names, scale), _idle(names, scale.idle)]


def _growth(names: Sequence[str], scale: Scale) -> Section:
    """Resident memory after each case, as a multiple of that before it."""
    section = Section("memory", "after/before")
    for name in names:
        for case in CASES:
            measure = partial(_object_sizes, case, name, scale.objects)
            _record(section.series(f"{case}, {scale.objects:,}", name), measure)
    for name in [FLOOR, *names]:
        measure = partial(_connection_sizes, name, scale.connections)
        _record(section.series(f"connections, {scale.connections:,}", name), measure)
    return section


def _idle(names: Sequence[str], count: int) -> Section:
    """Resident memory of a server with many idle connections, a connection."""
    section = Section("memory of an idle connection", "KiB a connection")
    for kind in ("protocol", "streams"):
        for name in [FLOOR, *names]:
            series = section.series(f"{kind}, {count:,}", name)
            try:
                with serving(f"{kind}_echo", name) as server:
                    before, after = _held_open(server, count)
            except (RunError, OSError) as error:
                series.error = str(error)
                continue
            series.samples.append((after - before) / count)
            series.details = {"resident_kib": {"before": before, "after": after}}
    return section


def _held_open(server: Server, count: int) -> tuple[int, int]:
    """Resident KiB of the server with a few connections, and with ``count`` more.

    Each has echoed a message, so that whatever a connection needs for its work is there.
    """
    allow_many_descriptors()
    with ExitStack() as stack:

        def hold(amount: int) -> int:
            for _ in range(amount):
                connection = stack.enter_context(
                    socket.create_connection(("127.0.0.1", server.port), timeout=STALLED_SECONDS)
                )
                connection.sendall(MESSAGE)
                if connection.recv(len(MESSAGE), socket.MSG_WAITALL) != MESSAGE:
                    raise RunError("the server did not echo a message")
            time.sleep(SETTLE_SECONDS)
            return _resident(server.pid)["VmRSS"]

        return hold(count // WARM_UP_SHARE), hold(count)


def _record(series: Series, measure: Callable[[], dict[str, int]]) -> None:
    try:
        sizes = measure()
    except RunError as error:
        series.error = str(error)
        return
    growth = sizes["after"] / sizes["before"]
    series.samples.append(growth)
    series.details = {"resident_kib": sizes, "within_10_percent": growth <= TOLERANCE}


def _connection_sizes(name: str, count: int) -> dict[str, int]:
    with serving("protocol_echo", name) as server:

        def sizes_after(amount: int) -> dict[str, int]:
            load("churn", server.address, "--size", 64, "--check", "--count", amount)
            time.sleep(SETTLE_SECONDS)
            return _resident(server.pid)

        before = sizes_after(count // WARM_UP_SHARE)
        after = sizes_after(count)
    return {"before": before["VmRSS"], "peak": after["VmHWM"], "after": after["VmRSS"]}


def _object_sizes(case: str, name: str, count: int) -> dict[str, int]:
    command = [sys.executable, "-m", "bench.memory", name, case, str(count)]
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
        raise RunError(f"not finished after {LONGEST_RUN} s") from None
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or [f"exit status {child.returncode}"]
        raise RunError(lines[-1])
    sizes: dict[str, int] = json.loads(child.stdout)
    return sizes


def _resident(pid: int | str) -> dict[str, int]:
    """Read the present (VmRSS) and the largest (VmHWM) resident size in KiB."""
    fields = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in fields if words[0].startswith("Vm")}


async def _nothing() -> None:
    pass


async def tasks_at_once(count: int) -> None:
    """All tasks exist before the first one runs."""
    for task in [asyncio.create_task(_nothing()) for _ in range(count)]:
        await task


async def tasks_in_batches(count: int) -> None:
    """1,000 tasks exist at a time."""
    for _ in range(count // BATCH):
        await tasks_at_once(BATCH)


async def timers_at_once(count: int) -> None:
    """All timers are scheduled before the first one is cancelled."""
    loop = asyncio.get_running_loop()
    for handle in [loop.call_later(FAR, print) for _ in range(count)]:
        handle.cancel()


async def timers_in_turn(count: int) -> None:
    """Each timer is cancelled before the next one is scheduled."""
    loop = asyncio.get_running_loop()
    for done in range(count):
        loop.call_later(FAR, print).cancel()
        if done % BATCH == 0:
            await asyncio.sleep(0)


CASES: dict[str, Case] = {
    case.__name__: case
    for case in (tasks_at_once, tasks_in_batches, timers_at_once, timers_in_turn)
}


async def _measure(case: Case, count: int) -> dict[str, int]:
    async def resident_after(amount: int) -> dict[str, int]:
        await case(amount)
        # A turn with a timer due is where loops clear away what was cancelled.
        await asyncio.sleep(SETTLE_SECONDS)
        gc.collect()
        return _resident("self")

    before = await resident_after(count // WARM_UP_SHARE)
    after = await resident_after(count)
    return {"before": before["VmRSS"], "peak": after["VmHWM"], "after": after["VmRSS"]}


def _work(name: str, case: str, count: int) -> None:
    loops.prepare(name)
    with asyncio.Runner(loop_factory=lambda: loops.new_event_loop(name)) as runner:
        print(json.dumps(runner.run(_measure(CASES[case], count))))


if __name__ == "__main__":
    _work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
