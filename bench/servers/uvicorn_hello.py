"""A greeting by uvicorn, with httptools as its parser."""

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from bench.servers.serving import BACKLOG, serve

GREETING = b"Hello, world!"
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(GREETING)).encode()),
    ],
}
BODY = {"type": "http.response.body", "body": GREETING}

Message = MutableMapping[str, Any]


async def app(
    _scope: Message,
    _receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Greet."""
    await send(START)
    await send(BODY)


async def main(listener: socket.socket) -> None:
    """Serve for ever."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        loop="none",
        lifespan="off",
        access_log=False,
        log_level="error",
        backlog=BACKLOG,
    )
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    serve(main)
