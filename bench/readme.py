"""The tables of the project's README, made of what is kept in ``bench/results``: ``python -m bench.readme``.

A test sees to it that the README has them as they are printed.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.loops import INSTALLED, OURS, RIVALS
from bench.programs import FLOOR
from bench.summary import Summary, read

RESULTS = Path(__file__).parent / "results"

NETWORK = {
    "protocol 64 B": "echo 64 B",
    "protocol 1 KiB": "echo 1 KiB",
    "protocol 16 KiB": "echo 16 KiB",
    "protocol 100 KiB": "echo 100 KiB",
    "buffered 16 KiB": "`BufferedProtocol` echo 16 KiB",
    "streams 1 KiB": "streams echo 1 KiB",
    "streams 100 KiB": "streams echo 100 KiB, read in pieces of 64 KiB",
    "readline 1 KiB": "`readline` echo 1 KiB",
    "sock_recv 1 KiB": "`sock_recv` echo 1 KiB",
    "udp 64 B": "UDP echo 64 B",
    "udp 1 KiB": "UDP echo 1 KiB",
    "tls protocol 1 KiB": "TLS echo 1 KiB",
    "tls protocol 16 KiB": "TLS echo 16 KiB",
    "tls buffered 16 KiB": "TLS `BufferedProtocol` echo 16 KiB",
    "tls streams 1 KiB": "TLS streams echo 1 KiB",
    "uvicorn hello": "uvicorn, httptools, hello",
    "aiohttp hello": "aiohttp, hello",
}
OBJECT_MODEL = {
    "task_switch": "switch by `sleep(0)`",
    "create_and_await": "create and await a task",
    "gather": "`gather`, a child",
    "task_group": "`TaskGroup`, a child",
    "future": "future",
    "queue": "queue",
    "lock": "contended lock",
    "event": "event",
    "timeout": "`timeout`",
    "wait_for": "`wait_for`",
    "timer_cancel": "`call_later` and cancel",
    "call_soon_burst": "`call_soon` in a burst of many",
    "threadsafe_burst": "`call_soon_threadsafe` in a burst",
    "run_in_executor": "call in the default executor",
}
ABSENT = "–"


def network(version: str) -> str:
    """What a message costs on a version of Python."""
    section = _section(f"{version}.json", "network")
    header = "µs of the server a message", "floor", "asyncio", "best", "Ouroloop", "installed"
    rows = [[*header, "of the best", "of the floor"]]
    for benchmark, name in NETWORK.items():
        best = section.best_of(RIVALS, benchmark)
        assert best
        ratios = [_ratios(section, benchmark, other) for other in (best, FLOOR)]
        ends = [_cell(section, benchmark, loop, _three_digits) for loop in (FLOOR, "asyncio")]
        rows.append([name, *ends, *_contest(section, benchmark, _three_digits), *ratios])
    return _table(rows)


def object_model(versions: Sequence[str]) -> str:
    """What the object model's operations cost, versions of Python side by side."""
    sections = [_section(f"{version}-object-model.json", "object model") for version in versions]
    header = ["ns an operation"]
    for version in versions:
        header += [f"{version}: best", "Ouroloop", "installed"]
    rows = [header]
    for benchmark, name in OBJECT_MODEL.items():
        cells = [_contest(section, benchmark, _whole) for section in sections]
        rows.append([name, *(cell for row in cells for cell in row)])
    return _table(rows)


def tables() -> Iterator[str]:
    """Make all of them, in the README's order."""
    yield network("3.14")
    yield network("3.12")
    yield object_model(["3.12", "3.14"])


def _contest(section: Summary, benchmark: str, text: Callable[[float], str]) -> list[str]:
    """The best of the others, with its name, ours and ours after ``install()``: the lowest in bold."""
    best = section.best_of(RIVALS, benchmark)
    assert best
    loops = (best, OURS, INSTALLED)
    lowest = section.best_of(loops, benchmark)
    cells = []
    for loop in loops:
        figure = _cell(section, benchmark, loop, text)
        cells.append(f"**{figure}**" if loop == lowest else figure)
    return [f"{cells[0]} {best}", *cells[1:]]


def _cell(section: Summary, benchmark: str, loop: str, text: Callable[[float], str]) -> str:
    figures = section.rows[benchmark].get(loop)
    return ABSENT if figures is None or figures.median is None else text(figures.median)


def _ratios(section: Summary, benchmark: str, other: str) -> str:
    ratios = [section.times(ours, other, benchmark) for ours in (OURS, INSTALLED)]
    return ", ".join(f"{ratio:.2f}" for ratio in ratios if ratio) or ABSENT


def _three_digits(figure: float) -> str:
    return f"{figure:.2f}" if figure < 9.995 else f"{figure:.1f}"


def _whole(figure: float) -> str:
    return f"{figure:.0f}"


def _section(file: str, title: str) -> Summary:
    _, sections = read(RESULTS / file)
    return next(section for section in sections if section.title == title)


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *others = rows
    lines = [header, ["---"] * len(header), *others]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print("\n".join(tables()), end="")
