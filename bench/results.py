"""Measurements of several loops over several rounds."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.loops import Availability
from bench.summary import Summary, Table


@dataclass
class Series:
    """One benchmark on one loop: a sample a round, or why there is none."""

    samples: list[float] = field(default_factory=list)
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float | None:
        """The median over the rounds."""
        return statistics.median(self.samples) if self.samples else None

    def as_json(self) -> dict[str, Any]:
        """What is written to the results file."""
        return {"median": self.median, "samples": self.samples, "error": self.error, **self.details}


class Section(Table[Series]):
    """Benchmarks that share a unit, sample by sample."""

    def series(self, benchmark: str, loop: str) -> Series:
        """The series of a benchmark on a loop, empty at first."""
        return self.rows.setdefault(benchmark, {}).setdefault(loop, Series())

    def summary(self) -> Summary:
        """What tables and plots are made from."""
        return Summary.from_json(self.as_json())

    def errors(self) -> list[str]:
        """What went wrong, a line each."""
        return [
            f"{benchmark} on {loop}: {series.error}"
            for benchmark, row in self.rows.items()
            for loop, series in row.items()
            if series.error is not None
        ]


def environment(loops: Iterable[Availability]) -> dict[str, Any]:
    """Describe where the figures come from."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "loops": {loop.name: {"version": loop.version, "reason": loop.reason} for loop in loops},
    }


def rotated(loops: Sequence[str], round_number: int) -> list[str]:
    """The order of a round: each loop comes first in its turn, so none always follows the same."""
    start = round_number % len(loops)
    return [*loops[start:], *loops[:start]]
