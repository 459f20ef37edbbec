"""Where two traces of one program part."""

import itertools
import json
from dataclasses import dataclass

from .execute import Program
from .world import Entry

Trace = list[Entry]

LINES_BEFORE = 12
LINES_AFTER = 4


@dataclass(frozen=True)
class Difference:
    """The first line in which two traces differ."""

    program: Program
    stock: Trace
    ours: Trace
    at: int

    def line(self, trace: Trace) -> str:
        """Return the line of ``trace`` that differs."""
        return json.dumps(trace[self.at]) if self.at < len(trace) else "(the trace ends)"

    @property
    def in_reports(self) -> bool:
        """Whether all that differs is what was reported aside, which what an earlier program left may have caused."""
        return all(
            line[0] == "end" for trace in (self.stock, self.ours) for line in trace[self.at :]
        )

    @property
    def kind(self) -> str:
        """What two differences have in common that are likely one."""
        parts = [
            trace[self.at] if self.at < len(trace) else ["end"] for trace in (self.stock, self.ours)
        ]
        same_turn = [part[1:] for part in parts]
        if same_turn[0] == same_turn[1]:
            return f"turn of {parts[0][2]} {parts[0][3]}"
        return " / ".join(json.dumps(part[2:]) for part in parts)

    def __str__(self) -> str:
        before = self.stock[max(0, self.at - LINES_BEFORE) : self.at]
        lines = ["the program", json.dumps(self.program), "ran alike until here"]
        lines += map(json.dumps, before)
        for side, trace in (("stock", self.stock), ("ouroloop", self.ours)):
            lines += [f"then {side} went", *map(json.dumps, trace[self.at : self.at + LINES_AFTER])]
        return "\n".join(lines)


def difference(program: Program, stock: Trace, ours: Trace) -> Difference | None:
    """Return where two traces of ``program`` part, ``None`` if they do not."""
    if stock == ours:
        return None
    pairs = itertools.zip_longest(stock, ours)
    at = next(number for number, (one, other) in enumerate(pairs) if one != other)
    return Difference(program, stock, ours, at)
