"""Echo with the loop's own socket methods, a task a connection."""

import asyncio
import socket

from bench.servers.serving import serve

READ_SIZE = 64 * 1024


async def echo(connection: socket.socket) -> None:
    """Send back every piece until the client closes."""
    loop = asyncio.get_running_loop()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := await loop.sock_recv(connection, READ_SIZE):
            await loop.sock_sendall(connection, data)


async def main(listener: socket.socket) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    echoes = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        task = loop.create_task(echo(connection))
        echoes.add(task)
        task.add_done_callback(echoes.discard)


if __name__ == "__main__":
    serve(main)
