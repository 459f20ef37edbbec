"""The kernel has no memory for sockets: ENOBUFS, and then it has again."""

import asyncio
import errno
import socket
from typing import Any

import pytest

from tests.support.loops import FACTORIES, HOST, PATIENCE
from tests.support.protocols import Recorder
from tests.support.refusals import call_refused, can_refuse

pytestmark = pytest.mark.skipif(not can_refuse(), reason="system calls cannot be made to fail")

SENDS = ("sendto", "sendmsg", "sendmmsg")


class Endpoint(asyncio.DatagramProtocol):
    """Keeps the errors, and the end."""

    def __init__(self) -> None:
        self.errors: list[int | None] = []
        self.lost: list[Exception | None] = []

    def error_received(self, exc: Exception) -> None:
        assert isinstance(exc, OSError)
        self.errors.append(exc.errno)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


@pytest.fixture
def loop(name: str) -> Any:
    """A loop that runs in one thread after the other."""
    loop = FACTORIES[name]()
    yield loop
    loop.close()


@pytest.mark.slow
def test_accepting_goes_on_and_nobody_is_lost(loop: Any) -> None:
    reported: list[dict[str, Any]] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def connect() -> Any:
        server = await asyncio.start_server(echo, HOST, 0)
        [listener] = server.sockets
        near = await asyncio.open_connection(*listener.getsockname())
        near[1].write(b"before")
        assert await near[0].readexactly(6) == b"before"
        return server, listener, near

    async def while_refused() -> Any:
        noticed = asyncio.Event()

        def note(_: Any, context: dict[str, Any]) -> None:
            reported.append(context)
            noticed.set()

        loop.set_exception_handler(note)
        late = await asyncio.open_connection(*listener.getsockname())
        await asyncio.wait_for(noticed.wait(), PATIENCE)
        near[1].write(b"meanwhile")
        assert await near[0].readexactly(9) == b"meanwhile"
        return late

    async def afterwards() -> None:
        for reader, writer in (near, late):
            writer.write(b"after")
            assert await asyncio.wait_for(reader.readexactly(5), PATIENCE) == b"after"
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()

    server, listener, near = loop.run_until_complete(connect())
    late = call_refused(
        ["accept4"],
        listener.fileno(),
        errno.ENOBUFS,
        lambda: loop.run_until_complete(while_refused()),
    )
    assert {context["message"] for context in reported} == {
        "socket.accept() out of system resource"
    }
    assert {context["exception"].errno for context in reported} == {errno.ENOBUFS}
    loop.run_until_complete(afterwards())


def test_a_datagram_that_is_not_sent_is_told_of_and_the_next_one_leaves(loop: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.settimeout(PATIENCE)
        far.bind((HOST, 0))

        async def open_endpoint() -> Any:
            return await loop.create_datagram_endpoint(Endpoint, local_addr=(HOST, 0))

        async def send(data: bytes) -> None:
            transport.sendto(data, far.getsockname())
            await asyncio.sleep(0)

        async def close() -> None:
            transport.close()
            await asyncio.sleep(0)

        transport, protocol = loop.run_until_complete(open_endpoint())
        descriptor = transport.get_extra_info("socket").fileno()
        call_refused(
            SENDS, descriptor, errno.ENOBUFS, lambda: loop.run_until_complete(send(b"refused"))
        )
        assert protocol.errors == [errno.ENOBUFS]
        assert transport.get_write_buffer_size() == 0
        loop.run_until_complete(send(b"sent"))
        assert far.recv(100) == b"sent"
        loop.run_until_complete(close())
        assert protocol.lost == [None]


def test_a_connection_that_cannot_send_ends_with_the_error(loop: Any) -> None:
    near, far = socket.socketpair()
    with far:

        async def connect() -> Any:
            return await loop.create_unix_connection(Recorder, sock=near)

        async def write() -> None:
            loop.set_exception_handler(lambda _, context: reported.append(context))
            transport.write(b"never arrives")
            for _ in range(3):
                await asyncio.sleep(0)

        reported: list[dict[str, Any]] = []
        transport, protocol = loop.run_until_complete(connect())
        descriptor = transport.get_extra_info("socket").fileno()
        call_refused(SENDS, descriptor, errno.ENOBUFS, lambda: loop.run_until_complete(write()))
        [lost] = protocol.lost
        assert lost.errno == errno.ENOBUFS
        # An error of the network's is the protocol's business; only debug mode logs it.
        assert reported == []
        far.settimeout(PATIENCE)
        assert far.recv(100) == b""
