"""Servers under load: their CPU time a message, throughput and latency.

The servers of a case are processes on one processor and all there at once, but one at a time has
work: they take turns of a fraction of a second, so that a slow spell of the machine falls on all.
The load generator, on another processor, reads the server's CPU clock itself, when its connections
are open and warm and again when its window ends, so neither start nor connecting is counted.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.programs import FLOOR, RunError, Server, load, serving
from bench.results import Section, Series, rotated

CONNECTIONS = 50
WARM_UP = 0.15
WARM_UP_A_CONNECTION = 0.0004
"""Of many connections the last are still being accepted when the load begins."""
WINDOW_A_CONNECTION = 0.0003
"""In which each has its turn a few times."""


@dataclass(frozen=True)
class Case:
    """A server and the load on it."""

    name: str
    server: str
    load: tuple[object, ...]
    has_floor: bool = True
    half_load: bool = False
    udp: bool = False
    tls: bool = False
    connections: int = CONNECTIONS


CASES = (
    Case("protocol 64 B", "protocol_echo", ("echo", "--size", 64)),
    Case("protocol 1 KiB", "protocol_echo", ("echo", "--size", 1024), half_load=True),
    Case("protocol 16 KiB", "protocol_echo", ("echo", "--size", 16 * 1024)),
    Case("protocol 100 KiB", "protocol_echo", ("echo", "--size", 100 * 1024)),
    Case("buffered 16 KiB", "buffered_echo", ("echo", "--size", 16 * 1024)),
    Case("streams 1 KiB", "streams_echo", ("echo", "--size", 1024), half_load=True),
    Case("streams 100 KiB", "streams_echo", ("echo", "--size", 100 * 1024)),
    Case("readline 1 KiB", "readline_echo", ("echo", "--size", 1024, "--line")),
    Case("sock_recv 1 KiB", "sock_recv_echo", ("echo", "--size", 1024)),
    Case("udp 64 B", "udp_echo", ("echo", "--udp", "--size", 64), half_load=True, udp=True),
    Case("udp 1 KiB", "udp_echo", ("echo", "--udp", "--size", 1024), udp=True),
    Case("tls protocol 1 KiB", "protocol_echo", ("echo", "--tls", "--size", 1024), tls=True),
    Case("tls protocol 16 KiB", "protocol_echo", ("echo", "--tls", "--size", 16 * 1024), tls=True),
    Case("tls buffered 16 KiB", "buffered_echo", ("echo", "--tls", "--size", 16 * 1024), tls=True),
    Case("tls streams 1 KiB", "streams_echo", ("echo", "--tls", "--size", 1024), tls=True),
    Case("uvicorn hello", "uvicorn_hello", ("http",), has_floor=False, half_load=True),
    Case("aiohttp hello", "aiohttp_hello", ("http",), has_floor=False, half_load=True),
)


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int
    seconds: float
    half_load: bool


def run(names: Sequence[str], effort: Effort, wanted: Iterable[str] = ()) -> list[Section]:
    """Measure all cases, or those whose name begins with one of ``wanted``."""
    cost = Section("network", "µs CPU a message")
    throughput = Section("throughput", "messages a second", higher_is_better=True)
    latency = Section("latency at half load", "µs, 99th percentile")
    prefixes = tuple(wanted)
    for case in CASES:
        if prefixes and not case.name.startswith(prefixes):
            continue
        contestants = [FLOOR, *names] if case.has_floor else list(names)
        with started(case, contestants, cost) as servers:
            for round_number in range(effort.rounds):
                for name in rotated(list(servers), round_number):
                    series = cost.series(case.name, name)
                    sample(case, servers[name], effort.seconds, series)
                    rates = series.details.get("throughput", [])
                    throughput.series(case.name, name).samples = rates
            if case.half_load and effort.half_load:
                _half_load(case, servers, effort, throughput, latency)
    return [section for section in (cost, throughput, latency) if section.rows]


@contextmanager
def started(case: Case, names: Iterable[str], section: Section) -> Iterator[dict[str, Server]]:
    """Start the case's server on each loop; the section is told of those that do not start."""
    with ExitStack() as stack:
        servers = {}
        for name in names:
            series = section.series(case.name, name)
            try:
                server = serving(case.server, name, udp=case.udp, tls=case.tls)
                servers[name] = stack.enter_context(server)
            except RunError as error:
                series.error = str(error)
        yield servers


def _half_load(
    case: Case, servers: dict[str, Server], effort: Effort, throughput: Section, latency: Section
) -> None:
    """Give every loop half of what the slowest can take, the same to all."""
    medians = [series.median for series in throughput.rows[case.name].values()]
    reached = [median for median in medians if median is not None]
    if not reached:
        return
    rate = min(reached) / 2
    for round_number in range(effort.rounds):
        for name in rotated(list(servers), round_number):
            series = latency.series(case.name, name)
            series.details["rate"] = rate
            sample(case, servers[name], effort.seconds, series, rate)


def sample(
    case: Case, server: Server, seconds: float, series: Series, rate: float | None = None
) -> None:
    """Add a sample of the case on a server, or of the latency at this rate."""
    warm_up = max(WARM_UP, case.connections * WARM_UP_A_CONNECTION)
    seconds = max(seconds, case.connections * WINDOW_A_CONNECTION)
    options: list[object] = ["--connections", case.connections, "--warm-up", warm_up]
    options += ["--seconds", seconds, "--server", server.pid]
    options += [] if rate is None else ["--rate", rate]
    try:
        report = load(*case.load, server.address, *options)
    except RunError as error:
        series.error = str(error)
        return
    sample = report["cpu_us_per_message"] if rate is None else report["latency_us"]["p99"]
    if sample is None:
        series.error = "no message in the measured window"
        return
    series.samples.append(sample)
    for key in ("throughput", "latency_us", "cpu_us_per_message"):
        series.details.setdefault(key, []).append(report[key])
