"""Programs that once parted the two sides, and random ones for as long as there is time.

``OUROLOOP_DIFFERENTIAL_SECONDS`` says how long; ``OUROLOOP_DIFFERENTIAL_SEED`` repeats a run.
"""

import gc
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.releases import stock_has

from .compare import compare
from .hunt import Hunt

REGRESSIONS = sorted(Path(__file__).with_name("regressions").glob("*.json"))
SECONDS = os.environ.get("OUROLOOP_DIFFERENTIAL_SECONDS", "120" if "CI" in os.environ else "10")
SEED_OF_CI = 20_261_122
"""A change is to be judged by what it does: the same programs each time. New ones are sought by hand."""
SEED = os.environ.get("OUROLOOP_DIFFERENTIAL_SEED") or (
    SEED_OF_CI if "CI" in os.environ else random.randrange(1 << 32)
)

PARTS = 4
"""Tests that share the time: a session ends when one test takes two minutes."""
SEEDS_OF_A_PART = 100_000
"""Each batch of a hunt has the next seed."""


@pytest.fixture(autouse=True)
def deaf_to_leftovers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a program has left is collected here; what it says then is no difference, and stock's may say a lot."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    yield
    gc.collect()


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_regression(path: Path) -> None:
    if path.stem == "context_of_twice_cancelled_condition" and not stock_has((3, 13, 0)):
        pytest.skip("stock asyncio raises another cancellation than it was given")
    difference = compare(json.loads(path.read_text()))
    assert difference is None, str(difference)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_random_programs(part: int) -> None:
    seed = int(SEED) + part * SEEDS_OF_A_PART
    hunt = Hunt(compare, seed)
    hunt.run(float(SECONDS) / PARTS)
    print(f"{hunt.examples} programs from seed {seed}")
    for difference in hunt.found.values():
        pytest.fail(f"seed {seed}: keep the program as a file in regressions/\n{difference}")
    assert hunt.examples
