"""A greeting by aiohttp, with its parser in C."""

import asyncio
import socket

from aiohttp import web

from bench.servers.serving import BACKLOG, serve

GREETING = b"Hello, world!"


async def greet(_request: web.Request) -> web.Response:
    """Greet."""
    return web.Response(body=GREETING, content_type="text/plain")


async def main(listener: socket.socket) -> None:
    """Serve for ever."""
    app = web.Application()
    app.router.add_get("/", greet)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=BACKLOG).start()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    serve(main)
