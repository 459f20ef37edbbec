"""What is kept of measurements gives the tables that the measurements give."""

from pathlib import Path

import pytest

from bench.results import Section
from bench.summary import read, written


@pytest.fixture
def section() -> Section:
    """Two benchmarks: one whose ratios round by round are not those of the medians, one that failed in part."""
    section = Section("network", "µs CPU a message")
    samples = {
        "floor": [1.0, 2.0, 4.0],
        "asyncio": [4.0, 6.0, 5.0],
        "uvloop": [3.0, 1.0, 9.0],
        "ouroloop": [1.1, 2.1, 3.9],
        "ouroloop+install": [1.0, 1.5],
    }
    for loop, taken in samples.items():
        section.series("echo", loop).samples = taken
        section.series("hello", loop).samples = taken[:2]
    section.series("hello", "floor").samples = []
    section.series("hello", "floor").error = "no such server"
    section.series("echo", "ouroloop").details = {"size": 64, "throughput": [3.0, 2.0, 1.0]}
    return section


@pytest.mark.parametrize("best", [False, True])
def test_the_tables_are_the_same(section: Section, tmp_path: Path, best: bool) -> None:
    summary = section.summary()
    path = tmp_path / "kept.json"
    path.write_text(written({"python": "3.14.0"}, [summary]))
    environment, [kept] = read(path)
    assert environment == {"python": "3.14.0"}
    assert kept == summary
    assert kept.table(best=best) == summary.table(best=best)


def test_a_ratio_is_taken_round_by_round(section: Section) -> None:
    summary = section.summary()
    assert summary.times("ouroloop", "floor", "echo") == pytest.approx(1.05)
    assert summary.times("ouroloop", "uvloop", "echo") == pytest.approx(3.9 / 9)
    assert summary.times("ouroloop", "uvloop", "echo", best=True) == pytest.approx(1.1)
    # Not as many rounds: of the medians.
    assert summary.times("ouroloop+install", "uvloop", "echo") == pytest.approx(1.25 / 3)
    assert summary.times("ouroloop", "floor", "hello") is None


def test_a_series_stands_on_a_line(section: Section) -> None:
    lines = written({}, [section.summary()]).splitlines()
    [failed] = [line.strip() for line in lines if "no such server" in line]
    assert failed == '"floor": { "rounds": 0, "error": "no such server" },'
    [ours] = [line for line in lines if '"size": 64' in line]
    assert "throughput" not in ours
