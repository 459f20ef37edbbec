"""A protocol that keeps what it is told of a child."""

import asyncio
import sys
from typing import Any


class Recorder(asyncio.SubprocessProtocol):
    """Keeps the calls in order and the bytes of each stream."""

    transport: asyncio.SubprocessTransport

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.data = {1: b"", 2: b""}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self.transport = transport
        self.calls.append("made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if not self.data[fd]:
            self.calls.append(("data", fd))
        self.data[fd] += data

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.calls.append(("pipe lost", fd))

    def process_exited(self) -> None:
        self.calls.append("exited")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        assert exc is None


async def child(program: str, *args: str, **keywords: Any) -> Recorder:
    """Run a Python program with a recorder."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.subprocess_exec(
        Recorder, sys.executable, "-c", program, *args, **keywords
    )
    return protocol
