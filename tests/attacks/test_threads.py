"""Eight threads: what may be called from any thread works, and what may not ends in errors."""

import os
import subprocess
import sys

import pytest

from .driver import ROOT
from .verdict import judge

SECONDS = float(os.environ.get("OUROLOOP_ATTACK_SECONDS", "12")) / 6


def run(what: str, seed: int) -> None:
    command = [sys.executable, "-m", "tests.attacks.threads", what, str(seed), str(SECONDS)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 90, check=False
    )
    verdict = judge(done.returncode, done.stderr)
    assert not verdict.bad, f"{verdict}\n{done.stderr[-3000:]}"
    assert done.stdout.endswith(" calls\n")


@pytest.mark.slow
def test_what_may_be_called_from_any_thread() -> None:
    run("safe", 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 100])
def test_what_may_not(seed: int) -> None:
    run("all", seed)
