"""Plot a results file: ``python -m bench.plot RESULTS.json [--out FOLDER]``, an SVG a section.

Each benchmark is a line on which every loop has a dot; the axis is logarithmic, so that equal
distances are equal ratios.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

STYLES = {
    "floor": ("#9aa0a6", "|"),
    "asyncio": ("#4c72b0", "o"),
    "uvloop": ("#dd8452", "s"),
    "rloop": ("#55a868", "^"),
    "zuvloop": ("#8172b3", "D"),
    "rsloop": ("#937860", "v"),
    "ouroloop": ("#c44e52", "*"),
}
EMPHASIS = 110
NORMAL = 36


def plot(section: dict[str, Any], environment: dict[str, Any]) -> Figure:
    """Draw one section of a results file."""
    benchmarks: dict[str, dict[str, dict[str, Any]]] = section["benchmarks"]
    names = list(benchmarks)
    figure = Figure(figsize=(8, 1.4 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    for loop, (colour, marker) in STYLES.items():
        points = [
            (row[loop]["median"], place)
            for place, row in enumerate(benchmarks.values())
            if loop in row and row[loop]["median"] is not None
        ]
        if points:
            size = EMPHASIS if loop == "ouroloop" else NORMAL
            across, down = zip(*points, strict=True)
            axes.scatter(
                across, down, color=colour, marker=marker, s=size, label=loop, alpha=0.9, zorder=3
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="both", color="#e6e6e6", zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    better = "higher" if section["higher_is_better"] else "lower"
    axes.set_xlabel(f"{section['unit']} ({better} is better)")
    axes.set_title(f"{section['title']}, Python {environment['python']}", loc="left")
    figure.legend(loc="outside lower center", ncols=len(STYLES), frameon=False, handletextpad=0.1)
    return figure


def main() -> None:
    """Plot every section of the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, help="a folder; that of the results if absent")
    arguments = parser.parse_args()
    document = json.loads(arguments.results.read_text())
    folder: Path = arguments.out or arguments.results.parent
    folder.mkdir(parents=True, exist_ok=True)
    # Without a date and with fixed identifiers, the same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "ouroloop"
    for section in document["sections"]:
        name = re.sub(r"\W+", "-", section["title"])
        path = folder / f"{arguments.results.stem}-{name}.svg"
        plot(section, document["environment"]).savefig(path, metadata={"Date": None})
        print(path)


if __name__ == "__main__":
    main()
