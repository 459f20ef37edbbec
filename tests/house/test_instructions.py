"""What `bench.instructions` makes of valgrind's words; valgrind itself is not run."""

import re
import sys
from pathlib import Path

import pytest

from bench import instructions
from bench.instructions import CountError, Valgrind, Wish, collected, table

OUTPUT = "==7== Events    : Ir\n==7== Collected : {}\n==7== \n==7== I   refs:      {}\n"
BASE, OTHER = "old/bin/python", "new/bin/python"


def test_the_sum_is_read() -> None:
    assert collected(0, OUTPUT.format(957609074, "957,609,074")) == 957609074


@pytest.mark.parametrize(
    ("status", "output", "reason"),
    [
        (1, OUTPUT.format(5, 5) + "ModuleNotFoundError: No module named 'x'\n", "No module named"),
        (1, OUTPUT.format(5, 5), "exit status 1"),
        (0, "==7== nothing\n", "exit status 0"),
    ],
)
def test_what_went_wrong_is_told(status: int, output: str, reason: str) -> None:
    with pytest.raises(CountError, match=reason):
        collected(status, output)


def test_an_item_is_the_difference(tmp_path: Path) -> None:
    """A program in valgrind's place: it takes 1,000 instructions to start, and 7 an item."""
    program = tmp_path / "valgrind.py"
    program.write_text(
        "import sys\nsum = 1000 + 7 * int(sys.argv[-1])\nsys.exit(print('==7== Collected :', sum, file=sys.stderr))"
    )
    counted = Valgrind((sys.executable, str(program)))
    assert counted.an_item(Wish("lock", "ouroloop", BASE)) == 7


def test_without_valgrind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="valgrind is not in PATH"):
        instructions.find_valgrind(None)


def test_the_first_interpreter_is_the_base() -> None:
    wishes = [
        Wish(kind, "ouroloop", python) for kind in ("lock", "queue") for python in (BASE, OTHER)
    ]
    figures = dict(zip(wishes, (200.0, 150.0, 80.0, None), strict=True))
    lines = table(wishes, [BASE, OTHER], figures).splitlines()
    assert [re.split(" {2,}", line) for line in lines] == [
        ["instructions an item", "1", "2", "2 / 1"],
        ["lock, ouroloop", "200", "150", "0.750"],
        ["queue, ouroloop", "80", "failed", "–"],
    ]
