"""Echo over sizes and connections: what a message costs as connections grow.

Samples are taken as in ``network``. Ours takes part on each multiplexer too: poll and select are told of
every descriptor at every wait, and select has no room for many.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.loops import ON_MULTIPLEXERS, OURS
from bench.network import Case, sample, started
from bench.programs import FLOOR
from bench.results import Section, rotated

TITLE = "sweep"
KIB = 1024
SERVERS = {"protocol": "protocol_echo", "streams": "streams_echo"}
SELECTABLE = 1000
"""As many connections leave numbers below select's limit to the listener and its kin."""
MOST_BYTES = 160 * KIB * KIB
"""All messages under way at once have to fit into the kernel's buffers several times over."""


@dataclass(frozen=True)
class Grid:
    """Which sizes and how many connections, and how long to measure each pair."""

    rounds: int
    seconds: float
    sizes: Sequence[int] = (64, KIB, 16 * KIB, 100 * KIB, KIB * KIB)
    connections: Sequence[int] = (1, 10, 50, 100, 1_000, 10_000)

    def points(self) -> Iterator[tuple[int, int]]:
        """Every size with every number of connections that there is room for."""
        for size in self.sizes:
            for connections in self.connections:
                if size * connections <= MOST_BYTES:
                    yield size, connections


def run(names: Sequence[str], grid: Grid, wanted: Sequence[str] = ()) -> list[Section]:
    """Measure both kinds of echo, or those whose name begins with one of ``wanted``."""
    cost = Section(TITLE, "µs CPU a message")
    throughput = Section("sweep throughput", "messages a second", higher_is_better=True)
    variants = list(ON_MULTIPLEXERS) if OURS in names else []
    for kind, server in SERVERS.items():
        if wanted and not kind.startswith(tuple(wanted)):
            continue
        for size, connections in grid.points():
            row = f"{kind} {size_text(size)} × {connections:,}"
            case = Case(row, server, ("echo", "--size", size), connections=connections)
            contestants = [FLOOR, *names, *(name for name in variants if _fits(name, connections))]
            with started(case, contestants, cost) as servers:
                for round_number in range(grid.rounds):
                    for name in rotated(list(servers), round_number):
                        series = cost.series(row, name)
                        series.details |= {"kind": kind, "size": size, "connections": connections}
                        sample(case, servers[name], grid.seconds, series)
                        rates = series.details.get("throughput", [])
                        throughput.series(row, name).samples = rates
    return [cost, throughput]


def size_text(size: int) -> str:
    """Write a number of bytes as one reads it."""
    for unit, name in ((KIB * KIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def _fits(name: str, connections: int) -> bool:
    return ON_MULTIPLEXERS[name] != "select" or connections <= SELECTABLE
