"""Measurements of several loops over several rounds, as JSON and as a table."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.loops import ALL_NAMES, INSTALLED, OURS, RIVALS, Availability
from bench.programs import FLOOR

TIMES_RIVAL = "× best rival"
INSTALLED_TIMES_RIVAL = "installed × best rival"
TIMES_FLOOR = "× floor"


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

    def best(self, *, higher_is_better: bool) -> float | None:
        """The sample of the least disturbed round: what else runs on a machine only ever takes."""
        if not self.samples:
            return None
        return max(self.samples) if higher_is_better else min(self.samples)

    def as_json(self) -> dict[str, Any]:
        """What is written to the results file."""
        return {"median": self.median, "samples": self.samples, "error": self.error, **self.details}


@dataclass
class Section:
    """Benchmarks that share a unit."""

    title: str
    unit: str
    higher_is_better: bool = False
    take_best: bool = False
    """Whether the table compares each series' best sample instead of its median."""
    rows: dict[str, dict[str, Series]] = field(default_factory=dict)

    def series(self, benchmark: str, loop: str) -> Series:
        """The series of a benchmark on a loop, empty at first."""
        return self.rows.setdefault(benchmark, {}).setdefault(loop, Series())

    def as_json(self) -> dict[str, Any]:
        """What is written to the results file."""
        rows = {
            benchmark: {loop: series.as_json() for loop, series in row.items()}
            for benchmark, row in self.rows.items()
        }
        return {
            "title": self.title,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "benchmarks": rows,
        }

    def figure(self, series: Series) -> float | None:
        """What the table shows of a series."""
        if self.take_best:
            return series.best(higher_is_better=self.higher_is_better)
        return series.median

    def table(self) -> str:
        """Format the figures: a row a benchmark, a column a loop, then how ours compares."""
        columns = _in_order({loop for row in self.rows.values() for loop in row})
        lines = [[f"{self.title} ({self.unit})", *columns, *self._comparisons(columns)]]
        for benchmark, row in self.rows.items():
            cells = [self._cell(row.get(loop)) for loop in columns]
            ratios = [self._ratio(kind, row) for kind in self._comparisons(columns)]
            lines.append([benchmark, *cells, *ratios])
        means = [self._mean(kind) for kind in self._comparisons(columns)]
        lines.append(["geometric mean", *[""] * len(columns), *means])
        return "\n".join(_aligned(lines))

    def _mean(self, kind: str) -> str:
        ratios = [self._ratio(kind, row) for row in self.rows.values()]
        figures = [float(ratio) for ratio in ratios if ratio != "–"]
        return f"{statistics.geometric_mean(figures):.2f}" if figures else "–"

    def _comparisons(self, columns: Sequence[str]) -> list[str]:
        kinds = [TIMES_RIVAL] if OURS in columns else []
        if OURS in columns and FLOOR in columns:
            kinds.append(TIMES_FLOOR)
        if INSTALLED in columns:
            kinds.append(INSTALLED_TIMES_RIVAL)
        return kinds

    def _ratio(self, kind: str, row: dict[str, Series]) -> str:
        known = {loop: figure for loop, series in row.items() if (figure := self.figure(series))}
        ours = INSTALLED if kind == INSTALLED_TIMES_RIVAL else OURS
        others = (FLOOR,) if kind == TIMES_FLOOR else RIVALS
        found = [other for other in others if other in known]
        if ours not in known or not found:
            return "–"
        best = (max if self.higher_is_better else min)(found, key=known.__getitem__)
        ratio = self._times(row[ours], row[best])
        return f"{ratio if kind == TIMES_FLOOR or self.higher_is_better else 1 / ratio:.2f}"

    def _times(self, ours: Series, other: Series) -> float:
        """One series as a multiple of another: the median over the rounds, if both have all."""
        if self.take_best or len(ours.samples) != len(other.samples):
            mine, its = self.figure(ours), self.figure(other)
            assert mine is not None
            assert its is not None
            return mine / its
        pairs = zip(ours.samples, other.samples, strict=True)
        return statistics.median(mine / its for mine, its in pairs)

    def _cell(self, series: Series | None) -> str:
        if series is None:
            return "–"
        figure = self.figure(series)
        if figure is None:
            return "failed"
        return f"{figure:.0f}" if figure >= 100 else f"{figure:.2f}"

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


def _in_order(loops: Iterable[str]) -> list[str]:
    order = [FLOOR, *ALL_NAMES]
    return sorted(loops, key=order.index)


def _aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
