"""Protocols of which one method is broken, and what a loop says of them."""

import asyncio
import gc
import re
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tests.support.loops import Factory, reporting_runner_of

FLOOD: Final = 4_000_000
"""More than the kernel takes at once, so that a protocol is paused and resumed."""


class Sound:
    """What all have: the calls in order, and the transport. It derives from nothing of asyncio's."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.events.append("made")
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


class Stream(Sound):
    """Answers what comes with a flood."""

    def data_received(self, data: bytes) -> None:
        self.events.append("data")
        self.transport.write(bytes(FLOOD))

    def eof_received(self) -> None:
        self.events.append("eof")


class Buffered(Sound, asyncio.BufferedProtocol):
    """The same, into memory of its own."""

    eof_received = Stream.eof_received

    def get_buffer(self, sizehint: int) -> Any:
        return bytearray(1000)

    def buffer_updated(self, nbytes: int) -> None:
        self.events.append("data")
        self.transport.write(bytes(FLOOD))


class Datagrams(Sound):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.events.append("data")

    def error_received(self, exc: Exception) -> None:
        self.events.append("error")


class Pipe(Sound):
    def data_received(self, data: bytes) -> None:
        self.events.append("data")

    def eof_received(self) -> None:
        self.events.append("eof")


class Process(Sound):
    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.events.append("data")

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.events.append("pipe lost")

    def process_exited(self) -> None:
        self.events.append("exited")


WAYS: Final = ["missing", "lookup", "none", "call", "returns"]
"""How a method is broken: there is none, looking it up raises, it is None, it raises, it answers nonsense."""


def methods_of(kind: type[Sound]) -> list[str]:
    """Name the methods that a loop calls."""
    return [
        name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))
    ]


def broken(kind: type[Sound], method: str, way: str) -> type[Sound]:
    """Make a class as ``kind`` in which ``method`` is broken in this ``way``."""
    sound = getattr(kind, method)

    def looked_up(_: Any) -> Any:
        raise LookupError("not to be looked up") if way == "lookup" else AttributeError(method)

    def raises(self: Any, *arguments: Any) -> None:
        sound(self, *arguments)
        raise ArithmeticError("it was called")

    def answers(self: Any, *arguments: Any) -> object:
        sound(self, *arguments)
        return object()

    instead: dict[str, Any] = {
        "missing": property(looked_up),
        "lookup": property(looked_up),
        "none": None,
        "call": raises,
        "returns": answers,
    }
    return type("Broken", (kind,), {method: instead[way]})


Said = tuple[list[str], Any]


def said_by(factory: Factory, scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Said:
    """Run a scenario; what the exception handler was told, and what the scenario answers."""
    reported: list[str] = []

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: None if is_left_behind(context) else reported.append(told(context))
        )
        answer = await scenario()
        gc.collect()
        return answer

    with warnings.catch_warnings():
        # Stock asyncio drops what it has half made.
        warnings.simplefilter("ignore", ResourceWarning)
        answer, _ = reporting_runner_of(factory)(main())
        gc.collect()
    return sorted(set(reported)), answer


def is_left_behind(context: dict[str, Any]) -> bool:
    """Whether that is about a task that stock asyncio leaves waiting for a broken TLS connection."""
    return "task" in context or isinstance(context.get("exception"), GeneratorExit)


def told(context: dict[str, Any]) -> str:
    """Return what a handler is told, without addresses, places and class names of transports."""
    error = context.get("exception")
    message = re.sub(r" at \S+:\d+", "", context["message"])
    for _ in range(2):
        message = re.sub(r"<[^<>]*>", "…", message)
    return f"{message} | {named(error)} | {' '.join(sorted(context))}"


def named(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"


async def attempt(call: Coroutine[Any, Any, Any]) -> tuple[Any, str]:
    """Await ``call``: its result, or else what it raised."""
    try:
        return await call, "made"
    except Exception as error:
        return None, named(error)
