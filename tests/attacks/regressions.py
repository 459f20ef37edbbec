"""Batches that once ended badly. They run before any others, for as long as they draw what they drew."""

from pathlib import Path

from .driver import Batch

REGRESSIONS = Path(__file__).with_name("regressions.txt")


def regressions(options: tuple[str, ...] = ()) -> list[Batch]:
    """Return the batches of the file: a seed and a number of calls a line, and what to say of it."""
    lines = (line.partition("#")[0].split() for line in REGRESSIONS.read_text().splitlines())
    return [
        Batch(int(seed), int(calls), tuple(dict.fromkeys((*own, *options))))
        for seed, calls, *own in filter(None, lines)
    ]
