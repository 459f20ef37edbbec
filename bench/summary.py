"""What is kept of measurements, and the tables made of it: ``python -m bench.summary RESULTS.json``.

A run's file has every sample; a summary has, for each benchmark on each loop, the median, the least and the most of its samples,
and as what multiple of every other loop ours came out, round by round. Tables and plots are made from summaries alone, so
that those of a run and those of what is kept of it are the same.
"""

import argparse
import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from bench.loops import ALL_NAMES, INSTALLED, OURS, RIVALS
from bench.programs import FLOOR

TIMES_RIVAL = "× best rival"
INSTALLED_TIMES_RIVAL = "installed × best rival"
TIMES_FLOOR = "× floor"
DETAILS = ("kind", "size", "connections", "rate", "resident_kib", "within_10_percent")
"""What else of a series is kept: what was asked for, and sizes that are no samples."""


@dataclass
class Figures:
    """What is kept of one benchmark on one loop."""

    rounds: int
    median: float | None = None
    least: float | None = None
    most: float | None = None
    error: str | None = None
    times: dict[str, float] = field(default_factory=dict)
    """For ours: its multiple of each other loop, the median over the rounds if both have all."""
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, samples: Sequence[float], error: str | None, details: Mapping[str, Any]
    ) -> "Figures":
        """Summarise the samples of a series."""
        kept = {name: details[name] for name in DETAILS if name in details}
        if not samples:
            return cls(0, error=error, details=kept)
        sizes = (statistics.median(samples), min(samples), max(samples))
        return cls(len(samples), *sizes, error=error, details=kept)

    def best(self, *, higher_is_better: bool) -> float | None:
        """The sample of the least disturbed round: what else runs on a machine only ever takes."""
        return self.most if higher_is_better else self.least

    def as_json(self) -> dict[str, Any]:
        """What is written to a file: what there is."""
        content = {name: value for name, value in asdict(self).items() if value not in (None, {})}
        details: dict[str, Any] = content.pop("details", {})
        return {**content, **details}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Figures":
        """Read what ``as_json`` gave."""
        own = {name: value for name, value in content.items() if name not in DETAILS}
        return cls(**own, details={name: content[name] for name in DETAILS if name in content})


class Written(Protocol):
    """What has a form that is written to a file."""

    def as_json(self) -> dict[str, Any]:
        """Return that form."""


Cell = TypeVar("Cell", bound=Written)


@dataclass
class Table(Generic[Cell]):
    """Benchmarks that share a unit: by benchmark and loop, what there is of it."""

    title: str
    unit: str
    higher_is_better: bool = False
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What is written to a file."""
        rows = {
            benchmark: {loop: cell.as_json() for loop, cell in row.items()}
            for benchmark, row in self.rows.items()
        }
        return {
            "title": self.title,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "benchmarks": rows,
        }


class Summary(Table[Figures]):
    """Benchmarks that share a unit, summarised."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Summary":
        """Read a section of a summary, or of a run's file."""
        rows = {}
        for benchmark, row in content["benchmarks"].items():
            measured = {
                loop: series["samples"] for loop, series in row.items() if "samples" in series
            }
            rows[benchmark] = (
                summarised(measured, row)
                if measured
                else {loop: Figures.from_json(figures) for loop, figures in row.items()}
            )
        return cls(content["title"], content["unit"], content["higher_is_better"], rows)

    def figure(self, figures: Figures, *, best: bool = False) -> float | None:
        """What a table shows: the median, or the best sample."""
        return figures.best(higher_is_better=self.higher_is_better) if best else figures.median

    def best_of(self, loops: Iterable[str], benchmark: str, *, best: bool = False) -> str | None:
        """Which of the loops has the best figure, if any has one."""
        row = self.rows[benchmark]
        known = {
            loop: figure
            for loop in loops
            if loop in row and (figure := self.figure(row[loop], best=best))
        }
        if not known:
            return None
        return (max if self.higher_is_better else min)(known, key=known.__getitem__)

    def times(self, ours: str, other: str, benchmark: str, *, best: bool = False) -> float | None:
        """One loop of ours as a multiple of another loop."""
        mine, its = (self.rows[benchmark].get(loop) for loop in (ours, other))
        if mine is None or its is None:
            return None
        if not best and other in mine.times:
            return mine.times[other]
        figures = self.figure(mine, best=best), self.figure(its, best=best)
        return figures[0] / figures[1] if figures[0] and figures[1] else None

    def table(self, *, best: bool = False) -> str:
        """Format the figures: a row a benchmark, a column a loop, then how ours compares."""
        columns = _in_order({loop for row in self.rows.values() for loop in row})
        kinds = _comparisons(columns)
        lines = [[f"{self.title} ({self.unit})", *columns, *kinds]]
        compared: dict[str, list[float]] = {kind: [] for kind in kinds}
        for benchmark, row in self.rows.items():
            cells = [self._cell(row.get(loop), best=best) for loop in columns]
            for kind in kinds:
                ratio = self._ratio(kind, benchmark, best=best)
                cells.append("–" if ratio is None else f"{ratio:.2f}")
                compared[kind] += [] if ratio is None else [float(cells[-1])]
            lines.append([benchmark, *cells])
        means = [
            f"{statistics.geometric_mean(ratios):.2f}" if ratios else "–"
            for ratios in compared.values()
        ]
        lines.append(["geometric mean", *[""] * len(columns), *means])
        return "\n".join(aligned(lines))

    def _ratio(self, kind: str, benchmark: str, *, best: bool) -> float | None:
        ours = INSTALLED if kind == INSTALLED_TIMES_RIVAL else OURS
        others = (FLOOR,) if kind == TIMES_FLOOR else RIVALS
        other = self.best_of(others, benchmark, best=best)
        ratio = self.times(ours, other, benchmark, best=best) if other else None
        if ratio is None or kind == TIMES_FLOOR or self.higher_is_better:
            return ratio
        return 1 / ratio

    def _cell(self, figures: Figures | None, *, best: bool) -> str:
        if figures is None:
            return "–"
        figure = self.figure(figures, best=best)
        if figure is None:
            return "failed"
        return f"{figure:.0f}" if figure >= 100 else f"{figure:.2f}"


def summarised(
    samples: Mapping[str, Sequence[float]], row: Mapping[str, Mapping[str, Any]]
) -> dict[str, Figures]:
    """Summarise a benchmark's samples on all loops, with what else is known of them."""
    figures = {
        loop: Figures.of(taken, row[loop].get("error"), row[loop])
        for loop, taken in samples.items()
    }
    for ours in (OURS, INSTALLED):
        if not samples.get(ours):
            continue
        for other in (FLOOR, *RIVALS):
            if samples.get(other):
                figures[ours].times[other] = _times(samples[ours], samples[other])
    return figures


def _times(ours: Sequence[float], other: Sequence[float]) -> float:
    if len(ours) != len(other):
        return statistics.median(ours) / statistics.median(other)
    return statistics.median(mine / its for mine, its in zip(ours, other, strict=True))


def read(path: Path) -> tuple[dict[str, Any], list[Summary]]:
    """Read a summary, or a run's file: where its figures come from, and the sections."""
    document = json.loads(path.read_text())
    sections = [Summary.from_json(section) for section in document["sections"]]
    return document["environment"], sections


def written(environment: Mapping[str, Any], sections: Sequence[Summary]) -> str:
    """Format a summary's file: a line for each benchmark on each loop."""
    document = {
        "environment": environment,
        "sections": [section.as_json() for section in sections],
    }
    deep = r"\n(?: {6,}(?=\S)| {5}(?=\}))"
    return re.sub(deep, " ", json.dumps(document, indent=1, ensure_ascii=False)) + "\n"


def _comparisons(columns: Sequence[str]) -> list[str]:
    kinds = [TIMES_RIVAL] if OURS in columns else []
    if OURS in columns and FLOOR in columns:
        kinds.append(TIMES_FLOOR)
    if INSTALLED in columns:
        kinds.append(INSTALLED_TIMES_RIVAL)
    return kinds


def _in_order(loops: Iterable[str]) -> list[str]:
    order = [FLOOR, *ALL_NAMES]
    return sorted(loops, key=order.index)


def aligned(lines: list[list[str]]) -> list[str]:
    """Pad the cells of a table: the first column to the right, the others to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def main() -> None:
    """Print the tables of a file of results, or write its summary."""
    parser = argparse.ArgumentParser(prog="python -m bench.summary", description=__doc__)
    parser.add_argument("results", type=Path, help="of a run, or a summary")
    parser.add_argument("--best", action="store_true", help="each series' best sample, not median")
    parser.add_argument(
        "--out", type=Path, help="write the summary there instead of printing tables"
    )
    arguments = parser.parse_args()
    environment, sections = read(arguments.results)
    if arguments.out:
        arguments.out.write_text(written(environment, sections))
        return
    for section in sections:
        print(section.table(best=arguments.best), end="\n\n")


if __name__ == "__main__":
    main()
