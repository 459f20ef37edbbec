"""Run the benchmarks: ``python -m bench`` from the top of the checkout.

``python -m bench.instructions`` counts the instructions of an operation, ``python -m bench.plot`` draws a file of results.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import loops, memory, network, object_model, processes, sweep
from bench.arguments import SomeOf
from bench.results import Section, environment

SECTIONS = ("object_model", "network", "memory", "processes")
ON_DEMAND = ("sweep",)
"""Sections that take too long to be measured unless they are asked for."""
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what the command line asks for, write it down and print it."""
    arguments = _arguments()
    found = [loops.probe(name) for name in arguments.loops]
    for loop in found:
        print(f"{loop.name}: {loop.version or f'not available ({loop.reason})'}", file=sys.stderr)
    names = [loop.name for loop in found if loop.version is not None]
    if not names:
        print("no loop to measure", file=sys.stderr)
        return 1
    surroundings = environment(found)
    sections = []
    for kind in arguments.only:
        begin = time.monotonic()
        sections += _measure(kind, names, arguments)
        print(f"{kind}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    document = {
        "environment": surroundings,
        "sections": [section.as_json() for section in sections],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    for section in sections:
        print(section.summary().table(best=arguments.best), end="\n\n")
        for error in section.errors():
            print(f"failed: {error}", file=sys.stderr)
    print(f"written to {arguments.json}", file=sys.stderr)
    return 0


def _measure(kind: str, names: Sequence[str], arguments: argparse.Namespace) -> list[Section]:
    quick: bool = arguments.quick
    rounds: int = arguments.rounds or (2 if quick else 5)
    match kind:
        case "object_model":
            return [object_model.run(names, rounds, seconds=0.02 if quick else 0.1)]
        case "network":
            effort = network.Effort(rounds, seconds=0.3 if quick else 1.0, half_load=not quick)
            return network.run(names, effort, arguments.cases)
        case "processes":
            return [processes.run(names, rounds, count=50 if quick else 500)]
        case "sweep":
            grid = sweep.Grid(rounds, seconds=0.3 if quick else 1.0)
            if quick:
                grid = replace(grid, sizes=(sweep.KIB,), connections=(1, 50, 1_000))
            if arguments.sizes:
                grid = replace(grid, sizes=arguments.sizes)
            if arguments.connections:
                grid = replace(grid, connections=arguments.connections)
            return sweep.run(names, grid, arguments.cases)
        case _:
            scale = memory.Scale(50_000, 5_000, 1_000) if quick else memory.Scale()
            return memory.run(names, scale)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="minutes, not tens of minutes; rough")
    parser.add_argument("--rounds", type=int, help="samples of each figure (5; 2 with --quick)")
    parser.add_argument(
        "--best", action="store_true", help="tables of each series' best sample, not of its median"
    )
    parser.add_argument(
        "--only",
        type=SomeOf((*SECTIONS, *ON_DEMAND)),
        default=SECTIONS,
        help=f"of {','.join(SECTIONS)}; and {','.join(ON_DEMAND)}, which is left out otherwise",
    )
    parser.add_argument(
        "--loops",
        type=SomeOf(loops.ALL_NAMES),
        default=loops.NAMES,
        help=f"of {','.join(loops.ALL_NAMES)}",
    )
    parser.add_argument(
        "--cases",
        type=lambda text: text.split(","),
        default=[],
        help="cases of network and sweep, by how their names begin: protocol,streams,uvicorn,…",
    )
    parser.add_argument(
        "--sizes", type=_numbers, help="of the sweep: bytes in a message, 64,1024,…"
    )
    parser.add_argument("--connections", type=_numbers, help="of the sweep: how many, 1,10,…")
    parser.add_argument(
        "--json", type=Path, default=RESULTS / f"run-{time.strftime('%Y%m%d-%H%M%S')}.json"
    )
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
