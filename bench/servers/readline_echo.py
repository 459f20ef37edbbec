"""Echo with streams, a line at a time."""

import asyncio
import socket

from bench.servers.serving import BACKLOG, for_ever, serve


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back every line until the client closes."""
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def main(listener: socket.socket) -> None:
    """Serve for ever."""
    server = await asyncio.start_server(echo, sock=listener, backlog=BACKLOG)
    await for_ever(server)


if __name__ == "__main__":
    serve(main)
