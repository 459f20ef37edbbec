"""Instructions an item, counted by valgrind: ``python -m bench.instructions``.

A processor's time moves with whoever shares it; the number of instructions hardly does, so this is the measure of
changes that are worth a few per cent. Each operation is carried out by two processes, one with more items than the
other; the difference, divided by the items between, is what an item takes: starting up, importing and warming up fall out.

What the kernel does is not counted. Valgrind is some fifty times slower than the machine, so what the clock decides comes more
often than usual: the loop looks at its descriptors after fewer turns.

``--python`` compares interpreters, such as those of virtual environments that hold different builds: the first is the
base, and each other one's figures are given as multiples of its.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import loops
from bench.arguments import SomeOf
from bench.counted import OPERATIONS
from bench.summary import aligned

FEW, MANY = 1_000, 6_000
LONGEST_RUN = 600
COLLECTED = re.compile(r"Collected : (\d+)")


class CountError(Exception):
    """The process whose instructions were to be counted did not end well."""


@dataclass(frozen=True)
class Wish:
    """What is to be counted."""

    operation: str
    loop: str
    python: str


@dataclass(frozen=True)
class Valgrind:
    """How processes are run so that two of the same give the same count."""

    command: tuple[str, ...]
    keep: Path | None = None

    def an_item(self, wish: Wish) -> float:
        """Count what an item takes."""
        few, many = (self.instructions(wish, count) for count in (FEW, MANY))
        return (many - few) / (MANY - FEW)

    def instructions(self, wish: Wish, count: int) -> int:
        """Count what a process takes that carries out ``count`` items."""
        profile = os.devnull
        if self.keep:
            place = re.sub(r"\W+", "-", f"{wish.python}-{wish.loop}-{wish.operation}").strip("-")
            profile = str(self.keep.absolute() / f"callgrind.out.{place}.{count}")
        command = [*self.command, "--tool=callgrind", f"--callgrind-out-file={profile}"]
        command += [wish.python, "-s", "-m", "bench.counted"]
        command += [wish.operation, wish.loop, str(count)]
        child = subprocess.run(
            command,
            cwd=loops.ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN,
            check=False,
        )
        return collected(child.returncode, child.stderr)


def environment() -> dict[str, str]:
    """Leave of the environment only what a run needs: its size alone moves the stack, its seeds the hashes.

    Code is compiled at each run or at none: a run does not leave anything for the next.
    """
    chosen = {name: value for name, value in os.environ.items() if name.startswith("OUROLOOP_")}
    fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    return {"PATH": os.defpath, **fixed, **chosen}


def collected(status: int, output: str) -> int:
    """Read callgrind's sum, or raise what went wrong instead."""
    found = COLLECTED.search(output)
    if status or not found:
        said = [line for line in output.splitlines() if line and not line.startswith("==")]
        raise CountError((said or [f"exit status {status}"])[-1])
    return int(found[1])


def find_valgrind(keep: Path | None) -> Valgrind:
    """Find valgrind, and ``setarch`` where it may have memory laid out the same way each time."""
    if not shutil.which("valgrind"):
        raise SystemExit(
            "valgrind is not in PATH: it counts the instructions (its package is called valgrind)"
        )
    fixed = ("setarch", "-R")
    works = (
        shutil.which("setarch")
        and not subprocess.run([*fixed, "true"], capture_output=True, check=False).returncode
    )
    return Valgrind((*(fixed if works else ()), "valgrind"), keep)


def table(wishes: Sequence[Wish], pythons: Sequence[str], figures: dict[Wish, float | None]) -> str:
    """Format the figures: a row an operation on a loop, a column an interpreter, then the ratios to the first."""
    numbers = range(1, len(pythons) + 1)
    header = [
        "instructions an item",
        *map(str, numbers),
        *(f"{other} / 1" for other in numbers[1:]),
    ]
    lines = [header]
    for operation, loop in dict.fromkeys((wish.operation, wish.loop) for wish in wishes):
        row = [figures[Wish(operation, loop, python)] for python in pythons]
        base = row[0]
        cells = ["failed" if figure is None else f"{figure:.0f}" for figure in row]
        ratios = [f"{other / base:.3f}" if base and other else "–" for other in row[1:]]
        lines.append([f"{operation}, {loop}", *cells, *ratios])
    return "\n".join(aligned(lines))


def main() -> int:
    """Count what the command line asks for and print it."""
    arguments = _arguments()
    valgrind = find_valgrind(arguments.keep)
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    pythons = list(dict.fromkeys(arguments.python or [sys.executable]))
    wishes = [
        Wish(operation, loop, python)
        for operation in arguments.only
        for loop in arguments.loops
        for python in pythons
    ]
    failed = False

    def measured(wish: Wish) -> float | None:
        nonlocal failed
        try:
            figure = valgrind.an_item(wish)
        except (CountError, OSError, subprocess.TimeoutExpired) as error:
            failed = True
            figure, said = None, str(error)
        else:
            said = f"{figure:.0f}"
        print(f"{wish.operation}, {wish.loop}, {wish.python}: {said}", file=sys.stderr, flush=True)
        return figure

    for number, python in enumerate(pythons, 1):
        print(f"{number}: {python}", flush=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        figures = dict(zip(wishes, pool.map(measured, wishes), strict=True))
    print(table(wishes, pythons, figures))
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        type=SomeOf(tuple(OPERATIONS)),
        default=list(OPERATIONS),
        help=f"of {','.join(OPERATIONS)}",
    )
    parser.add_argument(
        "--loops",
        type=SomeOf(loops.ALL_NAMES),
        default=[loops.OURS, loops.INSTALLED],
        help=f"of {','.join(loops.ALL_NAMES)}; {loops.OURS},{loops.INSTALLED} unless told",
    )
    parser.add_argument(
        "--python",
        action="append",
        metavar="PATH",
        help="an interpreter that imports the build to be counted; may be given again (this one)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at a time (1)")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep the profiles there, for callgrind_annotate",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
