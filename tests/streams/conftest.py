"""What the tests of streams share: each expectation is proved on asyncio's own classes first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import ouroloop
import pytest
from ouroloop import _native

from tests.support.loops import HOST, Run, runner_of, until

Handler = Callable[[Any, Any], Any]


class World(NamedTuple):
    """Whose streams run on whose loop."""

    name: str
    new_loop: Callable[[], asyncio.AbstractEventLoop]
    StreamReader: Any
    StreamWriter: Any
    StreamReaderProtocol: Any
    open_connection: Any
    start_server: Any
    open_unix_connection: Any
    start_unix_server: Any


NAMES = World._fields[2:]
STOCK = World(
    "asyncio", asyncio.SelectorEventLoop, *(getattr(asyncio.streams, name) for name in NAMES)
)
NATIVE = [getattr(_native, name) for name in NAMES]
WORLDS = {
    "asyncio": STOCK,
    "native on asyncio": World("native on asyncio", asyncio.SelectorEventLoop, *NATIVE),
    "asyncio on native": STOCK._replace(name="asyncio on native", new_loop=ouroloop.new_event_loop),
    "native": World("native", ouroloop.new_event_loop, *NATIVE),
}


def turn(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Run what is ready now, ``count`` times, without waiting."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    """Each combination of classes and loop."""
    return WORLDS[request.param]


@pytest.fixture
def loop(world: World) -> Iterator[asyncio.AbstractEventLoop]:
    """An open loop of the world's that does not run."""
    loop = world.new_loop()
    yield loop
    loop.close()


@asynccontextmanager
async def serving(
    start_server: Callable[..., Any], handler: Handler, **options: Any
) -> AsyncIterator[int]:
    """Serve a connection or more, and give the port; at the end the server's side is over, too."""
    served: list[bool] = []

    async def serve(reader: Any, writer: Any) -> None:
        served.append(False)
        number = len(served) - 1
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            served[number] = True

    server = await start_server(serve, HOST, 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await until(lambda: served and all(served))
        server.close()
        await server.wait_closed()


@pytest.fixture
def run(world: World) -> Run:
    """Run a coroutine on a new loop of the world's."""
    return runner_of(world.new_loop)


@pytest.fixture(autouse=True)
def no_descriptor_left(descriptors_as_before: None) -> None:
    """No test leaves a descriptor open, nor garbage to be reported in the next."""
