"""What a running program acts on: its objects, its coroutines' frames, its trace."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NoReturn

from .describe import Described, Describer
from .registry import OPERATIONS

Step = list[Any]
Body = list[Step]
Entry = list[Any]

FAR = 100_000.0
"""Seconds until a timer that no program lives to see."""

MOST_STEPS = 600
"""A program that runs more steps than this is cut short, on both sides at the same step."""

color: contextvars.ContextVar[Any] = contextvars.ContextVar("color", default="none")


class TooLong(BaseException):
    """The program has run its steps."""


class World:
    """One run of a program.

    Objects live in pools that an index reaches round the corner, so that each number means something. They are made
    when first asked for, by the names that asyncio has at that moment.
    """

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.trace: list[Entry] = []
        self.turn: int | None = None
        """The number of the loop's turn, where turns are counted."""
        self.describer = Describer()
        self.awaitables: list[Any] = []
        """Tasks, and the futures of gather, shield and the like, in the order of their making."""
        self.groups: list[Any] = []
        self.scopes: list[Any] = []
        self.handles: list[Any] = []
        self.generators: list[Any] = []
        self.callbacks: list[Any] = []
        self._things: dict[tuple[str, int], Any] = {}
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._steps = 0
        self.over = False
        """The program was cut short."""
        self.ending = False
        """What waits is being cancelled: nobody is to go on."""

    def count(self, prefix: str) -> str:
        """Return the next name that starts with ``prefix``."""
        self._counts[prefix] += 1
        return f"{prefix}{self._counts[prefix]}"

    def thing(self, kind: str, index: int) -> Any:
        """Return one of the objects of ``kind``."""
        makers = MAKERS[kind]
        index %= len(makers)
        if (kind, index) not in self._things:
            self.put(kind, index, makers[index](self))
        return self._things[kind, index]

    def put(self, kind: str, index: int, thing: Any) -> None:
        """Make ``thing`` the object that ``kind`` and ``index`` mean from here on."""
        self._things[kind, index % len(MAKERS[kind])] = thing
        self.describer.name(thing, self.count(f"{kind} "))

    def awaitable(self, index: int) -> Any:
        """Return a task or the like; a future when there is none yet."""
        if not self.awaitables:
            return self.thing("future", index)
        return self.awaitables[index % len(self.awaitables)]

    def adopt(self, awaitable: Any, label: str = "") -> Any:
        """Let the program's indices reach ``awaitable``."""
        if not any(awaitable is known for known in self.awaitables):
            if label and self.describer.label(awaitable) is None:
                self.describer.name(awaitable, self.count(label))
            self.awaitables.append(awaitable)
        return awaitable

    def note(self, what: str, outcome: str, value: Described = None) -> None:
        """Write a line of the trace."""
        if self.over:
            # What the collector closes now has nothing more to say.
            return
        who = self.describer.value(asyncio.current_task(self.loop))
        self.trace.append([self.turn, who, what, outcome, value])

    def note_error(self, what: str, error: BaseException) -> None:
        """Write down that ``what`` raised ``error``."""
        if isinstance(error, RecursionError):
            # A circle of tasks: where in it the stack ends is not to be compared.
            self.cut()
        self.note(what, "raised", self.describer.error(error))

    def spend(self) -> None:
        """Account for one step."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            self.cut()

    def cut(self) -> NoReturn:
        """End the program."""
        self.over = True
        self.loop.stop()
        raise TooLong

    def act(self, steps: Body, frame: "Frame") -> None:
        """Run steps of a callback: each by itself, since nobody catches what they raise."""
        for name, *arguments in steps:
            try:
                self.spend()
                value = OPERATIONS[name].act(frame, *arguments)
            except Exception as error:
                self.note_error(name, error)
            else:
                self.note(name, "gave", self.describer.value(value))

    def release(self) -> None:
        """Let go of every object of the program."""
        for pool in (self.awaitables, self.groups, self.scopes, self.handles, self.generators):
            pool.clear()
        self.callbacks.clear()
        self._things.clear()


class Frame:
    """A coroutine of the program, or a callback."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.result: Any = name

    def child(self) -> "Frame":
        """Return the frame of a coroutine that this one makes."""
        return Frame(self.world, self.world.count("T"))

    async def run(self, body: Body) -> Any:
        """Run a coroutine's body, and return what it set as its result."""
        await self.steps(body)
        return self.result

    async def stubborn(self, body: Body) -> Any:
        """Run a body that goes on after errors, and even when cancelled."""
        for step in body:
            try:
                await self.steps([step])
            except (Exception, asyncio.CancelledError):
                if self.world.ending:
                    raise
        return self.result

    async def steps(self, body: Body) -> None:
        """Run steps until one raises."""
        world = self.world
        for name, *arguments in body:
            world.spend()
            operation = OPERATIONS[name]
            try:
                if operation.waits:
                    world.note(name, "begins")
                    value = await operation.act(self, *arguments)
                else:
                    value = operation.act(self, *arguments)
            except (GeneratorExit, TooLong):
                # A GeneratorExit comes when the object dies, and when that is, is nobody's promise.
                raise
            except BaseException as error:
                world.note_error(name, error)
                raise
            world.note(name, "gave", world.describer.value(value))


MAKERS: dict[str, list[Callable[[World], Any]]] = {
    "future": [lambda world: world.loop.create_future()] * 3,
    "lock": [lambda _: asyncio.Lock()] * 2,
    "event": [lambda _: asyncio.Event()] * 2,
    "condition": [
        lambda _: asyncio.Condition(),
        lambda world: asyncio.Condition(world.thing("lock", 0)),
    ],
    "semaphore": [
        lambda _: asyncio.Semaphore(1),
        lambda _: asyncio.BoundedSemaphore(2),
        lambda _: asyncio.Semaphore(0),
    ],
    "barrier": [lambda _: asyncio.Barrier(2), lambda _: asyncio.Barrier(1)],
    "queue": [
        lambda _: asyncio.Queue(),
        lambda _: asyncio.Queue(1),
        lambda _: asyncio.PriorityQueue(2),
        lambda _: asyncio.LifoQueue(),
        lambda _: _own_queue(),
    ],
}


def _own_queue() -> Any:
    """Return a queue of a class that hands out the newest of what it kept, twice as large."""

    class Own(asyncio.Queue):  # type: ignore[type-arg]
        def _init(self, maxsize: int) -> None:
            self._kept: list[Any] = []

        def qsize(self) -> int:
            return len(self._kept)

        def _put(self, item: Any) -> None:
            self._kept.append(item * 2)

        def _get(self) -> Any:
            return self._kept.pop()

    return Own(2)
