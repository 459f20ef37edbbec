"""How programs are drawn: a handful of topics each, bodies within bodies to a small depth."""

from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.support.releases import stock_has

from . import operations as _operations  # noqa: F401  # they fill the table
from .registry import OPERATIONS

Strategy = st.SearchStrategy[Any]

DEPTH = 3
# What stock asyncio loses when waiters are cancelled, Ouroloop does not.
LOSING = set() if stock_has((3, 13, 0)) else {"condition", "semaphore", "barrier"}
TOPICS = sorted({operation.topic for operation in OPERATIONS.values()} - {"core", *LOSING})
GROUPS_KNOW_EAGER_TASKS = stock_has((3, 12, 9), (3, 13, 2))
ERRORS = ["value", "key", "odd", "timeout", "cancelled", "group", "invalid", "stop"]
RARE_ERRORS = ["stop async", "base group", "cancelled group", "whim", "exit", "interrupt"]
PRIMITIVES = ["lock", "event", "condition", "semaphore", "barrier"]
STARTS = ["create", "loop", "ensure", "detour", "class", "subclass", "eager", "context"]
AIMS = sorted({"event", "get", "put", "join", "lock", "semaphore", "barrier", "sleep"} - LOSING)
RETURN_WHEN = ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"]
MOVES = ["send", "next", "close", "value", "cancelled", "stop"]

INDEX = st.integers(0, 4)
BARE: dict[str, Strategy] = {
    "index": INDEX,
    "few": st.integers(0, 3),
    "yesno": st.booleans(),
    "message": st.sampled_from([None, None, "one", "two"]),
    "error": st.sampled_from(ERRORS * 3 + RARE_ERRORS),
    "caught": st.sampled_from(["some", "cancelled", "all"]),
    "when": st.sampled_from(["none", "zero", "past", "far"]),
    "start": st.sampled_from(["create"] * 3 + STARTS),
    "rarity": st.sampled_from(["number", "future", "self", "awaitable", "exception", "generator"]),
    "primitive": st.sampled_from(PRIMITIVES),
    "return_when": st.sampled_from(RETURN_WHEN),
    "leaving": st.sampled_from(["drop", "close", "throw", "send", "keep"]),
    "moves": st.lists(st.sampled_from(MOVES), min_size=1, max_size=4),
}


MORE = st.integers(0, 7).map(bool)
TARGETS = st.sampled_from(["task", "coroutine", "future", "aimed", "detour", "number"])
CLOCK = st.sampled_from(["turns"] * 11 + ["timer"])
CHOSEN = st.lists(st.sampled_from(TOPICS), min_size=1, max_size=3, unique=True)
SELDOM = st.integers(0, 9).map(lambda number: number == 9)
MOSTLY = st.integers(0, 3).map(bool)


@st.composite
def programs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a program."""
    program: dict[str, Any] = {
        "clock": draw(CLOCK),
        "eager": draw(SELDOM),
        "debug": draw(SELDOM),
        "stubborn": draw(MOSTLY),
    }
    drawing = Drawing(draw, tuple(sorted(draw(CHOSEN))))
    program["eager"] &= GROUPS_KNOW_EAGER_TASKS or "groups" not in drawing.topics
    program["tasks"] = [drawing.steps(DEPTH, waits=True, most=7)]
    while len(program["tasks"]) < 4 and draw(st.integers(0, 3)):
        program["tasks"].append(drawing.steps(DEPTH, waits=True, most=7))
    return program


class Drawing:
    """Draws the parts of one program."""

    def __init__(self, draw: st.DrawFn, topics: tuple[str, ...]) -> None:
        self.draw = draw
        self.topics = topics

    def steps(self, depth: int, *, waits: bool, most: int) -> list[Any]:
        """Draw the steps of a coroutine (``waits``) or of a callback."""
        names = names_of(self.topics, waits=waits, leaves=depth == 0)
        drawn: list[Any] = []
        # As hypothesis's own lists do: to ask before each lets any of them be left out.
        while len(drawn) < most and self.draw(MORE):
            name = self.draw(names)
            arguments = [self.argument(kind, depth - 1) for kind in OPERATIONS[name].kinds]
            drawn.append([name, *arguments])
        return drawn

    def argument(self, kind: str, depth: int) -> Any:
        """Draw an argument of ``kind``."""
        match kind:
            case "body":
                return self.steps(depth, waits=True, most=4)
            case "acts":
                return self.steps(depth, waits=False, most=3)
            case "target":
                return self.target(depth)
            case "targets":
                drawn: list[Any] = []
                while len(drawn) < 4 and self.draw(MORE):
                    drawn.append(self.target(depth))
                return drawn
        return self.draw(BARE[kind])

    def target(self, depth: int) -> list[Any]:
        """Draw what a combinator works on."""
        what = self.draw(TARGETS)
        if what == "coroutine":
            return [what, self.steps(depth, waits=True, most=4)]
        if what == "aimed":
            what = self.draw(st.sampled_from(AIMS))
        return [what, self.draw(INDEX)]


@cache
def names_of(topics: tuple[str, ...], *, waits: bool, leaves: bool) -> Strategy:
    """Draw the name of an operation; of a leaf, which holds no others."""
    names = [
        name
        for name, operation in OPERATIONS.items()
        for _ in range(1 if operation.topic == "core" else 2)
        if operation.topic in ("core", *topics)
        and (waits or not operation.waits)
        and (not leaves or BARE.keys() >= set(operation.kinds))
    ]
    return st.sampled_from(names)
