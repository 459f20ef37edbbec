"""Programs put attributes on transports and servers, and replace their methods: asyncio's let them."""

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from unittest import mock

import pytest

from tests.support.loops import HOST, Run, until
from tests.support.protocols import Recorder

Opened = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def stream() -> AsyncIterator[Any]:
    """Give a transport over one end of a socket pair."""
    near, far = socket.socketpair()
    with far:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=near)
        yield transport
        transport.close()
        await until(lambda: protocol.lost)


@asynccontextmanager
async def datagrams() -> AsyncIterator[Any]:
    """Give a transport of UDP."""
    loop = asyncio.get_running_loop()
    closed = loop.create_future()

    class Protocol(asyncio.DatagramProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            closed.set_result(exc)

    transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=(HOST, 0))
    yield transport
    transport.close()
    await closed


@asynccontextmanager
async def server() -> AsyncIterator[Any]:
    """Give a server."""
    served = await asyncio.get_running_loop().create_server(Recorder, HOST, 0)
    yield served
    served.close()
    await served.wait_closed()


@asynccontextmanager
async def process() -> AsyncIterator[Any]:
    """Give the transport of a process."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "true")
    yield transport
    await until(lambda: transport.get_returncode() is not None)
    transport.close()


OPENED = {"stream": stream, "datagrams": datagrams, "server": server, "process": process}


@pytest.fixture(params=OPENED)
def opened(request: pytest.FixtureRequest) -> Opened:
    """Open one kind of object."""
    return OPENED[request.param]


def test_attributes_come_and_go(run: Run, opened: Opened) -> None:
    async def main() -> None:
        async with opened() as thing:
            thing.mark = "here"
            assert thing.mark == "here"
            assert vars(thing)["mark"] == "here"
            del thing.mark
            assert not hasattr(thing, "mark")

    run(main())


@pytest.mark.parametrize(
    ("opened", "name"),
    [(stream, "write"), (datagrams, "sendto"), (server, "is_serving"), (process, "get_pid")],
)
def test_a_method_is_replaced_for_a_while(run: Run, opened: Opened, name: str) -> None:
    async def main() -> None:
        async with opened() as thing:
            with mock.patch.object(thing, name) as replaced:
                getattr(thing, name)(b"gone")
            replaced.assert_called_once_with(b"gone")
            assert "mock" not in repr(getattr(thing, name)).lower()

    run(main())


class Mark:
    """What an attribute refers to."""

    thing: Any


def test_a_cycle_through_an_attribute_is_collected(run_native: Run, opened: Opened) -> None:
    async def main() -> "weakref.ref[Mark]":
        async with opened() as thing:
            thing.mark = Mark()
            thing.mark.thing = thing
            return weakref.ref(thing.mark)

    gone = run_native(main())
    gc.collect()
    assert gone() is None
