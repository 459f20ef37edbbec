"""Protocols that keep what they are told: of streams, and what those of datagrams and pipes share with them."""

import asyncio
from collections.abc import Callable
from typing import Any


class Called:
    """What every kind of protocol records: calls in order, and the end."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lost: list[Exception | None] = []

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.lost.append(exc)

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


class Life(Called):
    """What protocols of streams record."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.calls.append("made")

    def eof_received(self) -> bool | None:
        self.calls.append("eof")
        return None


class Recorder(Life, asyncio.Protocol):
    """Keeps the bytes too."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[bytes] = []

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.chunks.append(data)


class HalfOpen(Recorder):
    """Stays open after the peer's end."""

    def eof_received(self) -> bool:
        super().eof_received()
        return True


class Echo(Recorder):
    """Sends back what comes."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


class Filling(Life, asyncio.BufferedProtocol):
    """Receives into memory of its own, which ``room`` makes."""

    def __init__(self, room: Callable[[], Any] = lambda: bytearray(1024)) -> None:
        super().__init__()
        self.room = room
        self.data = b""
        self.hints: list[int] = []

    def get_buffer(self, sizehint: int) -> Any:
        self.hints.append(sizehint)
        self.buffer = self.room()
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += memoryview(self.buffer).cast("B")[:nbytes]
