"""Echo with a transport and a protocol."""

import asyncio
import socket
import ssl
from typing import cast

from bench.servers.serving import BACKLOG, for_ever, serve


class Echo(asyncio.Protocol):
    """Sends back every piece as it comes."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send the piece back."""
        self.transport.write(data)


async def main(listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, sock=listener, backlog=BACKLOG, ssl=tls)
    await for_ever(server)


if __name__ == "__main__":
    serve(main)
