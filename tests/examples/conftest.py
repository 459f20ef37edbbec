"""The two ways to run a program, which each test of the examples takes in turn."""

import sys

import pytest


@pytest.fixture(params=["asyncio", "ouroloop"])
def command(request: pytest.FixtureRequest) -> list[str]:
    """The command that runs a program file: plain Python, or Ouroloop's runner."""
    runner = ["-m", "ouroloop"] if request.param == "ouroloop" else []
    return [sys.executable, *runner]
