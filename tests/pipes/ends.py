"""Protocols that keep what they are told, and the files at the other end."""

import asyncio
import os
from typing import Any, BinaryIO

from tests.support.protocols import Called


def pipe() -> tuple[BinaryIO, BinaryIO]:
    """Return the two ends of a new pipe, without buffers."""
    read, write = os.pipe()
    return os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)


class Recorder(Called, asyncio.Protocol):
    """Keeps the calls in order, the bytes, and the end."""

    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data

    def eof_received(self) -> None:
        self.calls.append("eof")


async def reading(file: Any) -> Recorder:
    """Connect a recorder to the read end ``file``."""
    _, protocol = await asyncio.get_running_loop().connect_read_pipe(Recorder, file)
    return protocol


async def writing(file: Any) -> Recorder:
    """Connect a recorder to the write end ``file``."""
    _, protocol = await asyncio.get_running_loop().connect_write_pipe(Recorder, file)
    return protocol
