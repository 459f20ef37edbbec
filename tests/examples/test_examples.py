"""What each example prints, its form, and that the runner really gives it a native loop."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("examples").glob("*.py"))
EXPECTED = Path(__file__).with_name("expected")
DEADLINE = 60.0
MAX_LINES = 39

# It serves until it is interrupted, so its transcript is checked where a client drives it.
ENDLESS = {"echo_server"}

every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with its output as text and no terminal to read from."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize(
    "example",
    [path for path in EXAMPLES if path.stem not in ENDLESS],
    ids=lambda path: path.stem,
)
def test_output(command: list[str], example: Path) -> None:
    """The program prints what is expected, nothing on stderr, and exits with 0."""
    outcome = run(*command, str(example))
    assert outcome.stderr == ""
    assert outcome.stdout == EXPECTED.joinpath(f"{example.stem}.txt").read_text()
    assert outcome.returncode == 0


def test_expected_outputs_match_examples() -> None:
    """No example lacks an expected output, and no expected output lacks its example."""
    assert EXAMPLES
    assert [path.stem for path in EXAMPLES] == sorted(path.stem for path in EXPECTED.iterdir())


@every_example
def test_is_short_and_explained(example: Path) -> None:
    """A reader sees at a glance what the program shows."""
    source = example.read_text()
    assert len(source.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(source))


@every_example
def test_is_a_plain_asyncio_program(example: Path) -> None:
    """The program does not know what it runs on."""
    source = example.read_text()
    assert "import asyncio\n" in source
    assert "ouroloop" not in source


def test_runner_gives_native_loop(tmp_path: Path) -> None:
    """Without this, every test above could pass on the stock loop twice."""
    program = tmp_path / "loop_class.py"
    program.write_text(
        "import asyncio\n"
        "import ouroloop\n"
        "async def main():\n"
        "    print(isinstance(asyncio.get_running_loop(), ouroloop.Loop))\n"
        "asyncio.run(main())\n"
    )
    assert run(sys.executable, "-m", "ouroloop", str(program)).stdout == "True\n"
