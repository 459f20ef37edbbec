"""Echo with a protocol that has its data put into its own memory."""

import asyncio
from typing import cast

from bench.servers.serving import serve_protocol

ROOM = 64 * 1024


class Echo(asyncio.BufferedProtocol):
    """Sends back what its memory was filled with, each time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.room = memoryview(bytearray(ROOM))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Give all of the memory, whatever has been asked for."""
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        """Send the bytes back: a copy, for the transport may keep them."""
        self.transport.write(bytes(self.room[:nbytes]))


if __name__ == "__main__":
    serve_protocol(Echo)
