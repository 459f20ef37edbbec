"""Echo with a datagram endpoint."""

import asyncio
import socket
from typing import Any, cast

from bench.servers.serving import serve


class Echo(asyncio.DatagramProtocol):
    """Sends back every datagram to where it came from."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to send by."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Send the datagram back."""
        self.transport.sendto(data, addr)


async def main(bound: socket.socket) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, sock=bound)
    try:
        await loop.create_future()
    finally:
        transport.close()


if __name__ == "__main__":
    serve(main, udp=True)
