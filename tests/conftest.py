"""What every test may rely on."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import ouroloop
import pytest

RunPython = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def stock_asyncio_afterwards() -> Iterator[None]:
    """Whatever a test installs, the next one finds asyncio as Python ships it."""
    yield
    ouroloop.uninstall()


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """Return ``run(*arguments, stdin="")``: this interpreter, in ``tmp_path``, to its end."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
