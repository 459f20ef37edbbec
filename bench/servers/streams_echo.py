"""Echo with streams: ``read`` what there is, ``write`` it, ``drain``."""

import asyncio
import socket
import ssl

from bench.servers.serving import BACKLOG, for_ever, serve

READ_SIZE = 64 * 1024


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back every piece until the client closes."""
    while data := await reader.read(READ_SIZE):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main(listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
    """Serve for ever."""
    server = await asyncio.start_server(echo, sock=listener, backlog=BACKLOG, ssl=tls)
    await for_ever(server)


if __name__ == "__main__":
    serve(main)
