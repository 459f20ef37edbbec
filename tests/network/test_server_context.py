"""In which context a server's connections run."""

import asyncio
import contextvars
import socket
import sys

from tests.support.loops import HOST, Run, until

from .peers import address_of

NAME = contextvars.ContextVar("NAME", default="nobody's")


def test_the_servers_context(run: Run) -> None:
    """From 3.15 on it is that of the server's making, before that of the start of serving."""
    seen: list[str] = []

    class Protocol(asyncio.Protocol):
        def __init__(self) -> None:
            seen.append(NAME.get())

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append(NAME.get())

        def data_received(self, data: bytes) -> None:
            seen.append(NAME.get())

        def connection_lost(self, exc: Exception | None) -> None:
            seen.append(NAME.get())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        NAME.set("maker's")
        server = await loop.create_server(Protocol, HOST, 0, start_serving=False)
        NAME.set("starter's")
        await server.start_serving()
        NAME.set("later")
        with socket.create_connection(address_of(server)) as client:
            client.sendall(b"x")
        await until(lambda: len(seen) == 4)
        server.close()
        await server.wait_closed()
        assert seen == ["maker's" if sys.version_info >= (3, 15) else "starter's"] * 4

    run(main())


def test_each_connection_has_a_copy(run: Run) -> None:
    seen: list[str] = []

    class Protocol(asyncio.Protocol):
        def __init__(self) -> None:
            seen.append(NAME.get())
            NAME.set("connection's")

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append(NAME.get())

    async def main() -> None:
        NAME.set("server's")
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Protocol, HOST, 0)
        for count in (2, 4):
            with socket.create_connection(address_of(server)):
                await until(lambda: len(seen) == count)  # noqa: B023 -- awaited within the pass
        assert seen == ["server's", "connection's"] * 2
        assert NAME.get() == "server's"
        server.close()
        await server.wait_closed()

    run(main())
