"""CPython's own asyncio tests on Ouroloop, compared with the stock loop.

``python tests/conformance/run.py [--only FILE …] [--match REGEX]`` runs the suite of the interpreter that runs it,
twice: on the stock loop and on Ouroloop. A test counts where it passes on the stock loop. The exit status is 0 if
each of them passes on Ouroloop too, apart from the expected failures, which have to fail.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import scope

WORKER = str(Path(__file__).with_name("worker.py"))
SECONDS_A_TEST = 30
SIDES = ("stock", "ouroloop")
OUTSIDE = "(outside of a test)"
"""Stands for a test where a worker broke down before, between or after its tests."""


class Outcome(NamedTuple):
    """How a test ended: ``passed``, ``failed`` or ``skipped``, with the traceback or reason."""

    state: str
    detail: str


Outcomes = dict[str, Outcome]


@dataclass
class FileRun:
    """One test file on one side, through as many worker processes as it takes.

    A test that kills its process or hangs costs itself, not the file: a new worker goes on after it.
    """

    side: str
    file: str
    outcomes: Outcomes = field(default_factory=dict)

    async def run(self) -> Outcomes:
        """Return the outcome of each test of the file."""
        while fault := await self._run_worker():
            test, detail = fault
            if test in self.outcomes:
                break
            self.outcomes[test] = Outcome("failed", detail)
        return self.outcomes

    async def _run_worker(self) -> tuple[str, str] | None:
        """Run the tests not run yet; return the test at which the worker broke down, and how."""
        with tempfile.TemporaryFile() as log:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-X", "faulthandler", WORKER, self.side, self.file),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # So that what a test leaves running can be ended with its worker.
                start_new_session=True,
            )
            try:
                return await self._listen(worker, log)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
                await worker.wait()

    async def _listen(
        self, worker: asyncio.subprocess.Process, log: IO[bytes]
    ) -> tuple[str, str] | None:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps(list(self.outcomes)).encode())
        worker.stdin.close()
        finished = False
        in_flight = outside = f"{self.file}.{OUTSIDE}"
        try:
            while line := await asyncio.wait_for(worker.stdout.readline(), SECONDS_A_TEST):
                test, state, detail = json.loads(line)
                in_flight = test if state == "started" else outside
                if state == "finished":
                    finished = True
                elif state != "started":
                    self.outcomes[test] = Outcome(state, detail)
            status = await asyncio.wait_for(worker.wait(), SECONDS_A_TEST)
        except TimeoutError:
            return in_flight, f"no progress for {SECONDS_A_TEST} s\n{_end_of(log)}"
        if finished and status == 0:
            return None
        return in_flight, f"exit status {status}\n{_end_of(log)}"


@dataclass
class Verdict:
    """The comparison of both sides."""

    counts: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    not_run: Counter[str] = field(default_factory=Counter)

    def judge(
        self, test: str, stock: Outcome | None, ours: Outcome | None, reason: str | None
    ) -> None:
        """Count one test; ``reason`` is that of its expected failure."""
        broken = next((side for side in (stock, ours) if side and test.endswith(OUTSIDE)), None)
        if broken is not None:
            self._complain(test, broken.detail)
        elif stock is None or stock.state == "failed":
            self.counts["not counted"] += 1
        elif ours is None:
            self.counts["failed"] += 1
            self.not_run[test.partition(".")[0]] += 1
        elif ours.state == "failed" and reason is not None:
            self.counts["failed as expected"] += 1
        elif ours.state == "failed":
            self._complain(test, ours.detail)
        elif ours.state == "passed" and reason is not None:
            self._complain(test, f"passes, but is an expected failure: {reason}")
        else:
            self.counts[ours.state] += 1

    def _complain(self, test: str, detail: str) -> None:
        self.counts["failed"] += 1
        self.complaints.append(f"FAILED {test}\n{detail.rstrip()}")


async def run_all(files: list[str], jobs: int) -> dict[str, Outcomes]:
    """Run ``files`` on both sides, ``jobs`` workers at a time; return the outcomes of each side."""
    places = asyncio.Semaphore(jobs)
    outcomes: dict[str, Outcomes] = {side: {} for side in SIDES}

    async def run_one(side: str, file: str) -> None:
        async with places:
            began = time.monotonic()
            found = await FileRun(side, file).run()
            outcomes[side].update(found)
            states = Counter(outcome.state for outcome in found.values())
            seconds = time.monotonic() - began
            text = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
            print(f"{file:26} {side:9} {text} ({seconds:.1f} s)", flush=True)

    async with asyncio.TaskGroup() as group:
        for file in files:
            for side in SIDES:
                group.create_task(run_one(side, file))
    return outcomes


def main() -> int:
    """Run, compare, report; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="FILE", help="a test file (repeatable)")
    parser.add_argument("--match", default="", metavar="REGEX", help="report on these tests alone")
    parser.add_argument(
        "--jobs",
        type=int,
        default=2 * (os.cpu_count() or 1),
        help="workers at a time; most of them wait",
    )
    arguments = parser.parse_args()
    files = [file for file in scope.files() if not arguments.only or file in arguments.only]
    sides = asyncio.run(run_all(files, arguments.jobs))
    expected = scope.expected_failures()
    verdict = Verdict()
    for test in sorted(sides["stock"].keys() | sides["ouroloop"].keys()):
        if re.search(arguments.match, test):
            stock, ours = (sides[side].get(test) for side in SIDES)
            verdict.judge(test, stock, ours, expected.reason(test))
    for complaint in verdict.complaints:
        print(f"\n{complaint}")
    for file, number in verdict.not_run.items():
        print(f"\nFAILED {number} tests of {file} were not run on Ouroloop")
    counts = verdict.counts
    print(
        f"\nPython {sys.version.split()[0]}: {counts['failed as expected']} failed as expected, "
        f"{counts['not counted']} not counted (they do not pass on the stock loop)"
    )
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


def _end_of(log: IO[bytes]) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - 4000))
    return log.read().decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
