"""Draws programs until the time is over, shrinks those on which the sides part, and tells each kind once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Flaky

from .difference import Difference
from .execute import Program
from .generate import programs

BATCH = 200
"""Examples of one batch; each has its own seed, and the hunt stops between two."""


class SidesPart(AssertionError):
    """A program's traces differ."""


@dataclass
class Hunt:
    """What a hunt did and found."""

    compare: Callable[[Program], Difference | None]
    seed: int
    examples: int = 0
    found: dict[str, Difference] = field(default_factory=dict)

    def run(self, seconds: float, *, most_kinds: int = 1) -> None:
        """Run batches until the time is over, or so many kinds of differences are found."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and len(self.found) < most_kinds:
            self._batch(deadline)
            self.seed += 1

    def _batch(self, deadline: float) -> None:
        last: Difference | None = None

        @seed(self.seed)
        @settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            derandomize=False,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            report_multiple_bugs=False,
        )
        @given(programs())
        def batch(program: Program) -> None:
            nonlocal last
            if time.monotonic() > deadline and last is None:
                return
            self.examples += 1
            found = self.compare(program)
            if found is not None and found.kind not in self.found:
                last = found
                raise SidesPart

        try:
            batch()
        except (SidesPart, Flaky):
            assert last is not None
            self.found[last.kind] = last
