"""Runs batches in processes of their own, several at a time, and keeps what is to be known of those that ended badly."""

import os
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import trustme

from .verdict import Ending, Verdict, judge

ROOT = Path(__file__).parents[2]
PATIENCE = 100.0
"""Seconds after which a batch is killed: it ends itself before, if it can."""
SEEDS_PER_CHECKED = 4
"""Every so many seeds' batches have freed memory overwritten, and its edges looked at."""
FIXED_ADDRESSES = ("setarch", "--addr-no-randomize") if shutil.which("setarch") else ()
"""What is ordered by addresses comes in the same order each time."""
KEPT_OF_ERRORS = 20_000
SHOWN = 80
"""Lines of what a batch wrote before it crashed."""


@dataclass(frozen=True)
class Batch:
    """What is needed to run a batch again."""

    seed: int
    calls: int
    options: tuple[str, ...] = ()

    def command(self, python: str) -> str:
        """Return the line that replays it."""
        words = [
            python,
            "-m",
            "tests.attacks",
            "--replay",
            str(self.seed),
            "--batch",
            str(self.calls),
        ]
        return shlex.join([*words, *self.options])


@dataclass(frozen=True)
class Outcome:
    """How a batch ended."""

    batch: Batch
    verdict: Verdict
    made: int
    errors: str

    def account(self, python: str) -> str:
        """Return all that there is to know of a bad ending: it may not happen again."""
        verdict = self.verdict
        told = f"{verdict.ending.value} after {self.made} calls: {verdict.told} {verdict.place}\n"
        told += f"    {self.batch.command(python)}"
        if verdict.ending in (Ending.CRASH, Ending.HANG):
            lines = [line for line in self.errors.splitlines() if line.strip()]
            told += "\n" + textwrap.indent("\n".join(lines[:SHOWN]), "    | ")
        return told


@dataclass
class Attack:
    """Batches of consecutive seeds."""

    python: str = sys.executable
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    """A command that runs the interpreter, such as valgrind's."""
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="attacks-")
        self._certificate = Path(self._directory.name, "certificate.pem")
        made = trustme.CA().issue_cert("server.example").private_key_and_cert_chain_pem
        self._certificate.write_bytes(made.bytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()

    def run_one(self, batch: Batch, trace: Path | None = None) -> Outcome:
        """Run a batch to its end."""
        with tempfile.NamedTemporaryFile(dir=self._directory.name) as counter:
            counter.write(bytes(8))
            counter.flush()
            command = [
                *self.before,
                *FIXED_ADDRESSES,
                self.python,
                "-m",
                "tests.attacks.batch",
                str(batch.seed),
            ]
            command += ["--calls", str(batch.calls), "--counter", counter.name]
            command += ["--certificate", str(self._certificate), *batch.options]
            if trace is not None:
                command += ["--trace", str(trace)]
            environment = {**os.environ, "PYTHONHASHSEED": "0", "RUST_BACKTRACE": "1"}
            if batch.seed % SEEDS_PER_CHECKED == 0:
                environment["PYTHONMALLOC"] = "debug"
            environment |= self.environment
            with tempfile.TemporaryFile(dir=self._directory.name) as errors:
                status: int | None
                with subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                    stdout=errors, stderr=errors,
                ) as process:  # fmt: skip
                    try:
                        status = process.wait(self.patience)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        status = None
                size = errors.seek(0, os.SEEK_END)
                errors.seek(max(0, size - KEPT_OF_ERRORS))
                told = errors.read().decode("utf-8", "replace")
            (made,) = struct.unpack("Q", Path(counter.name).read_bytes())
        return Outcome(batch, judge(status, told), made, told)

    def run(
        self, batches: Iterator[Batch], jobs: int, goes_on: Callable[[int], bool]
    ) -> Iterator[Outcome]:
        """Run batches, ``jobs`` at a time, as long as ``goes_on`` of the calls begun says so."""
        begun = 0
        running: set[Future[Outcome]] = set()
        with ThreadPoolExecutor(jobs) as pool:
            while True:
                while len(running) < jobs and goes_on(begun):
                    batch = next(batches, None)
                    if batch is None:
                        break
                    begun += batch.calls
                    running.add(pool.submit(self.run_one, batch))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    outcome = one.result()
                    # What a batch that ended early did not make is made by others.
                    begun -= outcome.batch.calls - outcome.made
                    yield outcome

    def fewest_calls(self, batch: Batch, tries: int = 2) -> Batch | None:
        """Return the shortest beginning of a batch that ends badly, if any does."""
        low, high = 0, self.run_one(batch).made
        found: Batch | None = None
        while low < high:
            middle = (low + high) // 2
            shorter = Batch(batch.seed, middle, batch.options)
            if any(self.run_one(shorter).verdict.bad for _ in range(tries)):
                found, high = shorter, middle
            else:
                low = middle + 1
        return found


def consecutive(seed: int, calls: int, options: tuple[str, ...]) -> Iterator[Batch]:
    """Return batches of the seeds from here on."""
    while True:
        yield Batch(seed, calls, options)
        seed += 1


def limit(calls: int | None, seconds: float | None) -> Callable[[int], bool]:
    """Return what says whether to begin another batch."""
    started = time.monotonic()

    def goes_on(begun: int) -> bool:
        if seconds is not None and time.monotonic() - started > seconds:
            return False
        return calls is None or begun < calls

    return goes_on
