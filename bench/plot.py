"""Plot a results file: ``python -m bench.plot RESULTS.json [--out FOLDER]``, an SVG a section.

Each benchmark is a line on which every loop has a dot; the axis is logarithmic, so that equal
distances are equal ratios. The sweep is drawn as curves: what a message costs against connections, a
panel for each size.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.summary import Summary, read
from bench.sweep import TITLE, size_text

STYLES = {
    "floor": ("#9aa0a6", "|"),
    "asyncio": ("#4c72b0", "o"),
    "uvloop": ("#dd8452", "s"),
    "rloop": ("#55a868", "^"),
    "zuvloop": ("#8172b3", "D"),
    "rsloop": ("#937860", "v"),
    "ouroloop": ("#c44e52", "*"),
}
VARIANTS = {"ouroloop+install": "-.", "ouroloop+poll": "--", "ouroloop+select": ":"}
"""How the curves of ours in another guise are drawn."""
EMPHASIS = 110
NORMAL = 36


def plot(section: Summary, environment: dict[str, Any], *, best: bool) -> Figure:
    """Draw one section of a results file."""
    names = list(section.rows)
    figure = Figure(figsize=(8, 1.4 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    for loop, (colour, marker) in STYLES.items():
        points = [
            (cost, place)
            for place, row in enumerate(section.rows.values())
            if loop in row and (cost := section.figure(row[loop], best=best)) is not None
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
    better = "higher" if section.higher_is_better else "lower"
    axes.set_xlabel(f"{section.unit} ({better} is better)")
    axes.set_title(f"{section.title}, Python {environment['python']}", loc="left")
    figure.legend(loc="outside lower center", ncols=len(STYLES), frameon=False, handletextpad=0.1)
    return figure


def plot_sweep(section: Summary, environment: dict[str, Any], *, best: bool) -> Figure:
    """Draw the sweep: a row of panels for each kind of server, one for each size."""
    curves = _curves(section, best=best)
    kinds = list(dict.fromkeys(kind for kind, _ in curves))
    sizes = sorted({size for _, size in curves})
    figure = Figure(figsize=(3 * len(sizes) + 2, 2.8 * len(kinds) + 1), layout="constrained")
    panels = figure.subplots(len(kinds), len(sizes), sharex=True, squeeze=False)
    labelled: dict[str, Any] = {}
    for row, kind in enumerate(kinds):
        for column, size in enumerate(sizes):
            axes = panels[row][column]
            for loop, points in curves.get((kind, size), {}).items():
                labelled.setdefault(loop, _draw_curve(axes, loop, sorted(points)))
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.grid(color="#e6e6e6", zorder=0)
            axes.set_title(f"{kind}, {size_text(size)}", loc="left", fontsize="medium")
    figure.supxlabel("connections")
    figure.supylabel(f"{section.unit} (lower is better)")
    figure.suptitle(f"Cost of an echoed message, Python {environment['python']}")
    figure.legend(labelled.values(), labelled, loc="outside right center", frameon=False)
    return figure


def _curves(
    section: Summary, *, best: bool
) -> dict[tuple[str, int], dict[str, list[tuple[int, float]]]]:
    """Sort the figures: by kind and size, then by loop, each with its number of connections."""
    curves: dict[tuple[str, int], dict[str, list[tuple[int, float]]]] = {}
    for row in section.rows.values():
        for loop in (*STYLES, *VARIANTS):
            if loop not in row or (figure := section.figure(row[loop], best=best)) is None:
                continue
            details = row[loop].details
            panel = curves.setdefault((details["kind"], details["size"]), {})
            panel.setdefault(loop, []).append((details["connections"], figure))
    return curves


def _draw_curve(axes: Any, loop: str, points: list[tuple[int, float]]) -> Any:
    colour, marker = STYLES.get(loop, (STYLES["ouroloop"][0], ""))
    across, up = zip(*points, strict=True)
    [line] = axes.plot(
        across, up, color=colour, marker=marker, linestyle=VARIANTS.get(loop, "-"), markersize=4
    )
    return line


def main() -> None:
    """Plot every section of the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, help="a folder; that of the results if absent")
    parser.add_argument("--best", action="store_true", help="each series' best sample, not median")
    arguments = parser.parse_args()
    environment, sections = read(arguments.results)
    folder: Path = arguments.out or arguments.results.parent
    folder.mkdir(parents=True, exist_ok=True)
    # Without a date and with fixed identifiers, the same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "ouroloop"
    for section in sections:
        title = re.sub(r"\W+", "-", section.title)
        stem = arguments.results.stem.removesuffix(f"-{title}")
        path = folder / f"{stem}-{title}.svg"
        draw = plot_sweep if section.title == TITLE else plot
        figure = draw(section, environment, best=arguments.best)
        figure.savefig(path, metadata={"Date": None})
        print(path)


if __name__ == "__main__":
    main()
