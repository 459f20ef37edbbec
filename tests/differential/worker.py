"""One side in a process of its own: stock asyncio where Ouroloop was never imported, Ouroloop where it may crash.

``python -m tests.differential.worker stock|ouroloop`` answers each program, a line of JSON, with a line that holds
its trace.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Self

from .chance import RERUNS, stir
from .difference import Difference, difference
from .execute import Program, execute
from .world import Entry

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds after which a side counts as hung; a program takes milliseconds."""


class Side:
    """A process that runs programs, started again when it dies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-X",
            "faulthandler",
            "-m",
            "tests.differential.worker",
            self.name,
        ]
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def execute(self, program: Program, seed: int | None = None) -> list[Entry]:
        """Return the trace of ``program``, or that the process died of it or hung.

        With a ``seed``, the process stirs its memory first.
        """
        process = self._process
        assert process.stdin and process.stdout
        alarm = threading.Timer(PATIENCE, process.kill)
        alarm.start()
        try:
            print(json.dumps([program, seed]), file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            alarm.cancel()
        if not answer:
            died = process.wait()
            self.close()
            self._process = self._start()
            return [["end", None, "process", "died", died]]
        trace: list[Entry] = json.loads(answer)
        return trace

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class Pair:
    """Both sides, each in its process."""

    def __init__(self) -> None:
        self.stock = Side("stock")
        self.ours = Side("ouroloop")

    def compare(self, program: Program) -> Difference | None:
        """Run ``program`` on both sides."""
        stock = self.stock.execute(program)
        found = difference(program, stock, self.ours.execute(program))
        if found and any(self.stock.execute(program, seed) != stock for seed in range(RERUNS)):
            return None
        if found and found.in_reports and self.ours.execute(program) == stock:
            return None
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stock.close()
        self.ours.close()


def serve(programs: IO[str], answers: IO[str]) -> None:
    """Answer programs until there are no more."""
    for line in programs:
        program, seed = json.loads(line)
        kept = [] if seed is None else stir(seed)
        print(json.dumps(execute(program)), file=answers, flush=True)
        del kept


if __name__ == "__main__":
    if sys.argv[1] == "ouroloop":
        import ouroloop

        ouroloop.install()
    # What the programs print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
