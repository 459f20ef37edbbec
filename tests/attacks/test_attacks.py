"""Batches that once ended badly, and random ones for as long as there is time; judged by how their processes end.

``OUROLOOP_ATTACK_SECONDS`` says how long in all; ``OUROLOOP_ATTACK_SEED`` repeats a run.
"""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .driver import Attack, Batch, consecutive, limit
from .interpreter_faults import (
    A_CALLBACK_AFTER_THE_END,
    A_COLLECTION_WITHIN_A_COLLECTION,
    REFERENCES_THAT_DIE_TOGETHER,
    ending_of,
)
from .regressions import regressions
from .verdict import Ending, judge

SECONDS = float(os.environ.get("OUROLOOP_ATTACK_SECONDS", "12"))
SEED_OF_CI = 20_261_129
"""A change is to be judged by what it does: the same batches each time. New ones are sought by hand."""
SEED = int(
    os.environ.get("OUROLOOP_ATTACK_SEED")
    or (SEED_OF_CI if "CI" in os.environ else random.randrange(1 << 32))
)
PARTS = 4
"""Tests that share the time: a session ends when one test takes two minutes."""
SEEDS_OF_A_PART = 1_000_000
CALLS = 20_000


@pytest.fixture(scope="module")
def attack() -> Iterator[Attack]:
    with Attack() as attack:
        yield attack


@pytest.mark.slow
@pytest.mark.parametrize("batch", regressions(), ids=lambda batch: batch.seed)
def test_regression(attack: Attack, batch: Batch) -> None:
    outcome = attack.run_one(batch)
    assert not outcome.verdict.bad, outcome.account(attack.python)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_random_batches(attack: Attack, part: int) -> None:
    seconds = SECONDS / PARTS / 2
    batches = consecutive(SEED + part * SEEDS_OF_A_PART, CALLS, ())
    made = 0
    for outcome in attack.run(batches, 1, limit(None, seconds)):
        made += outcome.made
        assert not outcome.verdict.bad, outcome.account(attack.python)
    print(f"{made} calls from seed {SEED}")
    assert made


ENDINGS = [
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Ending.CRASH),
    ("import os; os.abort()", Ending.CRASH),
    ("import sys; sys.stderr.write('thread panicked at src/lib.rs')", Ending.PANIC),
    ("import sys; sys.stderr.write('RuntimeError: a bug in ouroloop: ...')", Ending.ERROR),
    ("import sys; sys.stderr.write('RuntimeError: Already borrowed')", Ending.ERROR),
    ("import sys; sys.stderr.write('RuntimeError: what the program did')", Ending.GOOD),
    ("import faulthandler; faulthandler._fatal_error_c_thread()", Ending.FATAL),
    (
        "import faulthandler, time; faulthandler.dump_traceback_later(0.1, exit=True); time.sleep(5)",
        Ending.HANG,
    ),
    ("raise ValueError", Ending.FAILURE),
    ("pass", Ending.GOOD),
]


@pytest.mark.parametrize(("program", "ending"), ENDINGS)
def test_an_end_is_told_by_what_it_is(program: str, ending: Ending) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert judge(done.returncode, done.stderr).ending is ending


def test_a_batch_is_counted_to_its_last_call(attack: Attack, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert attack.run_one(Batch(11, 300), trace).made == 300
    lines = trace.read_text().splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    # A call that another one makes is told of after it began.
    assert (numbers[0], max(numbers)) == (1, 300)
    assert len(set(numbers)) == len(numbers) >= 290


def test_a_seed_draws_what_it_drew(attack: Attack, tmp_path: Path) -> None:
    """Until the clock has a say."""
    begun = []
    for name in ("one", "other"):
        attack.run_one(Batch(11, 8), tmp_path / name)
        lines = (tmp_path / name).read_text().splitlines()
        begun.append([re.sub("@[0-9a-f]+", "", line) for line in lines])
    assert begun[0] == begun[1]


def test_as_many_calls_as_asked_for(attack: Attack) -> None:
    outcomes = list(attack.run(consecutive(21, 500, ()), 2, limit(1500, None)))
    assert sum(outcome.made for outcome in outcomes) >= 1500


@pytest.mark.skipif(
    sys.version_info < (3, 13),
    reason="collections of older interpreters are not sound, nor is their end",
)
@pytest.mark.parametrize(
    "program",
    [REFERENCES_THAT_DIE_TOGETHER, A_COLLECTION_WITHIN_A_COLLECTION, A_CALLBACK_AFTER_THE_END],
)
def test_an_interpreter_that_is_not_to_blame(program: str) -> None:
    """What docs say of older ones, the newer ones have repaired: there a crash in a collection is ours."""
    assert not ending_of(program).bad
