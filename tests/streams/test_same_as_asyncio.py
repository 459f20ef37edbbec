"""Whatever a program does to a reader, ours answers as asyncio's does, turn by turn."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import STOCK, WORLDS, World, turn

Deed = tuple[str, Any]

PIECES = st.one_of(
    st.sampled_from([b"", b"\n", b"a", b"ab", b"\r\n", b"\r", b"line\n", b"x" * 7, b"--", b"-"]),
    st.binary(max_size=12),
)
SIZES = st.integers(-2, 12)
SEPARATORS: list[Any] = [b"\n", b"\r\n", b"--", b"", b"aba", bytearray(b"ab"), "no bytes", 7]
if sys.version_info >= (3, 13):
    SEPARATORS += [(b"\n", b"\r\n"), (b"-", b"--"), (), (b"a", b""), (b"bb", b"xab")]

DEEDS: st.SearchStrategy[Deed] = st.one_of(
    st.tuples(st.just("feed"), PIECES),
    st.tuples(st.just("feed"), PIECES),
    st.tuples(st.just("feed_odd"), st.sampled_from([bytearray(b"ab"), [97, 10], None, "str", 5])),
    st.tuples(st.just("read"), SIZES),
    st.tuples(st.just("read"), SIZES),
    st.tuples(st.just("readexactly"), SIZES),
    st.tuples(st.just("readuntil"), st.sampled_from(SEPARATORS)),
    st.tuples(st.just("readline"), st.none()),
    st.tuples(st.just("next"), st.none()),
    st.tuples(st.just("wait"), st.none()),
    st.tuples(st.just("turn"), st.none()),
    st.tuples(st.just("turn"), st.none()),
    st.tuples(st.just("cancel"), st.integers(0, 3)),
    st.tuples(st.just("eof"), st.none()),
    st.tuples(st.just("fail"), st.booleans()),
    st.tuples(st.just("look"), st.none()),
    st.tuples(st.just("keep_view"), st.booleans()),
    st.tuples(st.just("drop_front"), st.integers(0, 4)),
    st.tuples(st.just("extend"), PIECES),
    st.tuples(st.just("replace"), PIECES),
    st.tuples(st.just("limit"), st.integers(1, 9)),
    st.tuples(st.just("transport"), st.sampled_from(["new", "none", "stubborn"])),
    st.tuples(st.just("resume"), st.none()),
    st.tuples(st.just("wake"), st.none()),
    st.tuples(st.just("set_transport"), st.none()),
    st.tuples(st.just("adorn"), st.none()),
)


class Transport:
    """Records what it is told; a stubborn one cannot be paused."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.told: list[str] = []
        self.stubborn = stubborn

    def __repr__(self) -> str:
        return f"<Transport {self.told}>"

    def pause_reading(self) -> None:
        self.told.append("pause")
        if self.stubborn:
            raise NotImplementedError

    def resume_reading(self) -> None:
        self.told.append("resume")


def derived_reading(base: Any) -> Any:
    """A class whose reads are its own."""

    class Derived(base):  # type: ignore[misc]
        calls = 0

        async def read(self, n: int = -1) -> Any:
            self.calls += 1
            return await super().read(n)

        async def readuntil(self, separator: Any = b"\n") -> Any:
            self.calls += 1
            return await super().readuntil(separator)

        async def _wait_for_data(self, func_name: str) -> Any:
            self.calls += 1
            return await super()._wait_for_data(func_name + "!")

    return Derived


def derived_feeding(base: Any) -> Any:
    """A class whose flow is its own."""

    class Derived(base):  # type: ignore[misc]
        calls = 0

        def feed_data(self, data: Any) -> None:
            self.calls += 1
            super().feed_data(data)

        def _wakeup_waiter(self) -> None:
            self.calls += 1
            super()._wakeup_waiter()

        def _maybe_resume_transport(self) -> None:
            self.calls += 1
            super()._maybe_resume_transport()

    return Derived


DERIVED: dict[str, Callable[[Any], Any]] = {
    "itself": lambda base: base,
    "derived": lambda base: type("Derived", (base,), {}),
    "reading": derived_reading,
    "feeding": derived_feeding,
}


def described(error: BaseException | None) -> str:
    """An exception with what it carries and what it was raised from."""
    if error is None:
        return "none"
    extra = [getattr(error, name, None) for name in ("partial", "expected", "consumed")]
    return f"{error!r} {extra} {type(error.__context__).__name__}"


def attempt(method: Callable[..., Any], *arguments: Any) -> str:
    """What a call answers or raises."""
    try:
        return repr(method(*arguments))
    except Exception as error:
        return described(error)


def state(task: asyncio.Task[Any]) -> str:
    """How a task stands."""
    if not task.done():
        return "pending"
    if task.cancelled():
        return "cancelled"
    return described(task.exception()) if task.exception() else repr(task.result())


class Program:
    """Tasks around one reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reader: Any) -> None:
        self.loop = loop
        self.reader = reader
        self.tasks: list[asyncio.Task[Any]] = []
        self.transport: Any = None
        self.view: Any = None

    def spawn(self, name: str, *arguments: Any) -> None:
        async def call() -> Any:
            return await getattr(self.reader, name)(*arguments)

        self.tasks.append(self.loop.create_task(call()))

    def carry_out(self, kind: str, value: Any) -> str:
        """Do a deed; tell the answer."""
        return attempt(getattr(self, kind), value)

    def feed(self, data: bytes) -> None:
        self.reader.feed_data(data)

    feed_odd = feed

    def read(self, size: int) -> None:
        self.spawn("read", size)

    def readexactly(self, size: int) -> None:
        self.spawn("readexactly", size)

    def readuntil(self, separator: Any) -> None:
        self.spawn("readuntil", separator)

    def readline(self, _: None) -> None:
        self.spawn("readline")

    def next(self, _: None) -> None:
        self.spawn("__anext__")

    def wait(self, _: None) -> None:
        self.spawn("_wait_for_data", "wait")

    def turn(self, _: None) -> None:
        turn(self.loop)

    def cancel(self, number: int) -> bool:
        return number < len(self.tasks) and self.tasks[-1 - number].cancel()

    def eof(self, _: None) -> None:
        self.reader.feed_eof()

    def fail(self, good: bool) -> None:
        self.reader.set_exception(OSError("broken") if good else ValueError("odd"))

    def look(self, _: None) -> tuple[bytes, bool]:
        return bytes(self.reader._buffer), isinstance(self.reader._buffer, bytearray)

    def keep_view(self, keep: bool) -> None:
        self.view = self.reader._buffer if keep else None

    def drop_front(self, count: int) -> None:
        del self.reader._buffer[:count]

    def extend(self, data: bytes) -> None:
        self.reader._buffer.extend(data)

    def replace(self, data: bytes) -> None:
        self.reader._buffer = bytearray(data)

    def limit(self, limit: int) -> None:
        self.reader._limit = limit

    def set_transport(self, _: None) -> None:
        self.reader.set_transport(Transport())

    def adorn(self, _: None) -> None:
        self.reader.label = "adorned"

    def resume(self, _: None) -> None:
        self.reader._maybe_resume_transport()

    def wake(self, _: None) -> None:
        self.reader._wakeup_waiter()

    def seen(self, *, buffer: bool) -> str:
        """What can be seen from outside; to look at the buffer changes how ours keeps it."""
        reader, tasks = self.reader, [state(task) for task in self.tasks]
        told = getattr(self.transport, "told", None)
        waiter = reader._waiter
        return (
            f"{bytes(reader._buffer) if buffer else ''!r} {self.view!r} {reader.at_eof()}"
            f" {reader._eof} {reader._paused} {reader._transport is None} {told}"
            f" {None if waiter is None else waiter.done()} {reader.exception()!r}"
            f" {reader._limit} {getattr(reader, 'calls', 0)} {tasks}"
        )


def set_transport(program: Program, kind: str) -> None:
    """Put a transport in the reader's place for it."""
    program.transport = None if kind == "none" else Transport(stubborn=kind == "stubborn")
    program.reader._transport = program.transport
    program.reader._paused = False


Program.transport_deed = set_transport  # type: ignore[attr-defined]


def history(world: World, derive: Any, limit: int, deeds: list[Deed], *, buffer: bool) -> list[str]:
    """Carry out ``deeds``; tell what could be seen after each."""
    loop = world.new_loop()
    program = Program(loop, derive(world.StreamReader)(limit, loop))
    story = []
    try:
        for kind, value in deeds:
            name = "transport_deed" if kind == "transport" else kind
            answer = program.carry_out(name, value)
            story.append(f"{kind} {value!r}: {answer} {program.seen(buffer=buffer)}")
        for task in program.tasks:
            task.cancel()
        turn(loop, 6)
        return [*story, program.seen(buffer=True)]
    finally:
        loop.close()


@pytest.mark.parametrize("buffer", [False, True], ids=["unseen", "seen"])
@pytest.mark.parametrize("derived", DERIVED)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(limit=st.integers(1, 9), deeds=st.lists(DEEDS, max_size=30))
def test_same_history(derived: str, buffer: bool, limit: int, deeds: list[Deed]) -> None:
    stories = [
        history(world, DERIVED[derived], limit, deeds, buffer=buffer)
        for world in (STOCK, WORLDS["native on asyncio"], WORLDS["native"])
    ]
    assert all(story == stories[0] for story in stories[1:])
