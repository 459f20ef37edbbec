"""Whatever a transport tells a protocol, whoever writes waits and goes on as under asyncio, turn by turn."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import STOCK, WORLDS, World, turn
from .test_same_as_asyncio import attempt, described, state

KINDS = ["pause", "resume", "drain", "drain", "cancel", "turn", "turn", "eof", "data"]
KINDS += ["lose", "lose_by_error", "close", "wait_closed", "fail", "help"]
DEEDS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3)), max_size=25)


class Transport:
    """A transport that only knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Program:
    """Tasks that write to one connection."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reader = world.StreamReader(loop=loop)
        self.protocol = world.StreamReaderProtocol(self.reader, loop=loop)
        self.transport = Transport()
        self.protocol.connection_made(self.transport)
        self.writer = world.StreamWriter(self.transport, self.protocol, self.reader, loop)
        self.tasks: list[asyncio.Task[Any]] = []

    def spawn(self, method: Any) -> None:
        async def call() -> Any:
            return await method()

        self.tasks.append(self.loop.create_task(call()))

    def carry_out(self, kind: str, number: int) -> Any:
        """Do a deed; tell the answer."""
        return getattr(self, kind)(number)

    def pause(self, _: int) -> None:
        self.protocol.pause_writing()

    def resume(self, _: int) -> None:
        self.protocol.resume_writing()

    def drain(self, _: int) -> None:
        self.spawn(self.writer.drain)

    def help(self, _: int) -> None:
        self.spawn(self.protocol._drain_helper)

    def wait_closed(self, _: int) -> None:
        self.spawn(self.writer.wait_closed)

    def cancel(self, number: int) -> bool:
        return number < len(self.tasks) and self.tasks[-1 - number].cancel()

    def turn(self, _: int) -> None:
        turn(self.loop)

    def eof(self, _: int) -> Any:
        return self.protocol.eof_received()

    def data(self, _: int) -> None:
        self.protocol.data_received(b"data")

    def lose(self, _: int) -> None:
        self.protocol.connection_lost(None)

    def close(self, _: int) -> None:
        self.writer.close()

    def fail(self, _: int) -> None:
        self.reader.set_exception(OSError("failed"))

    def lose_by_error(self, _: int) -> None:
        self.protocol.connection_lost(OSError("broken"))

    def seen(self) -> str:
        """What can be seen from outside."""
        protocol, closed = self.protocol, self.protocol._closed
        end = described(closed.exception()) if closed.done() and not closed.cancelled() else None
        return (
            f"{protocol._paused} {protocol._connection_lost} {len(protocol._drain_waiters)}"
            f" {protocol._transport is None} {protocol._stream_reader is None} {end}"
            f" {bytes(self.reader._buffer)!r} {[state(task) for task in self.tasks]}"
        )


def history(world: World, deeds: list[tuple[str, int]]) -> list[str]:
    """Carry out ``deeds``; tell what could be seen after each."""
    loop = world.new_loop()
    program = Program(world, loop)
    try:
        story = [
            f"{kind} {number}: {attempt(program.carry_out, kind, number)} {program.seen()}"
            for kind, number in deeds
        ]
        for task in program.tasks:
            task.cancel()
        turn(loop, 6)
        return [*story, program.seen()]
    finally:
        program.transport.close()
        loop.close()


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(deeds=DEEDS)
def test_same_history(deeds: list[tuple[str, int]]) -> None:
    stories = [
        history(world, deeds) for world in (STOCK, WORLDS["native on asyncio"], WORLDS["native"])
    ]
    assert all(story == stories[0] for story in stories[1:])
