"""Echo with a transport and a protocol."""

import asyncio
from typing import cast

from bench.servers.serving import serve_protocol


class Echo(asyncio.Protocol):
    """Sends back every piece as it comes."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send the piece back."""
        self.transport.write(data)


if __name__ == "__main__":
    serve_protocol(Echo)
