"""Transports in forked children: the connection is the parent's."""

import asyncio
import gc
import socket
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.loops import Run, until

from .forks import in_child, is_open

REFUSAL = (
    "RuntimeError: This event loop belongs to the parent process; a forked child needs an event "
    "loop of its own"
)


class Receiver(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


async def connection() -> tuple[Any, Receiver, socket.socket]:
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_unix_connection(Receiver, sock=near)
    return transport, protocol, far


def arrived(sock: socket.socket) -> bytes:
    """Return everything that has arrived so far; an end is written out."""
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except BlockingIOError:
        return data
    return data + b"<EOF>"


async def end(transport: Any, protocol: Receiver, far: socket.socket) -> None:
    far.close()
    transport.close()
    await until(lambda: protocol.lost)


@pytest.mark.parametrize(
    "send",
    [
        lambda transport: transport.write(b"child's"),
        lambda transport: transport.write(bytearray(100_000)),
        lambda transport: transport.writelines([b"child's"]),
        lambda transport: transport.write_eof(),
    ],
    ids=["write", "large write", "writelines", "write_eof"],
)
def test_a_child_does_not_send(run_native: Run, send: Callable[[Any], None]) -> None:
    async def main() -> None:
        transport, protocol, far = await connection()
        assert in_child(lambda: send(transport)) == REFUSAL
        assert arrived(far) == b""
        transport.write(b"parent's")
        await until(lambda: arrived(far) == b"parent's")
        await end(transport, protocol, far)

    run_native(main())


@pytest.mark.parametrize(
    "look",
    [
        lambda transport: transport.get_write_buffer_size(),
        lambda transport: transport.close(),
        lambda transport: transport.abort(),
        lambda transport: transport.get_extra_info("socket").fileno() > 0,
        lambda transport: transport.set_write_buffer_limits(0),
    ],
    ids=["size", "close", "abort", "socket", "limits"],
)
def test_what_was_written_before_is_sent_once(run_native: Run, look: Callable[[Any], Any]) -> None:
    """By the parent: what it held back for more left before the fork."""

    async def main() -> None:
        transport, protocol, far = await connection()
        for _ in range(3):
            transport.write(b"a")
            transport.write(b"b")
            await asyncio.sleep(0)
        assert arrived(far) == b"ababab"
        transport.write(b"parent's")
        assert in_child(lambda: look(transport)) in ("None", "0", "8", "True")
        assert arrived(far) == b"parent's"
        await end(transport, protocol, far)

    run_native(main())


def test_a_transport_that_is_closed_in_the_child(run_native: Run) -> None:
    async def main() -> None:
        transport, protocol, far = await connection()

        def close() -> str:
            transport.close()
            return f"{transport.is_closing()} {protocol.lost}"

        def resume() -> None:
            transport.pause_reading()
            transport.resume_reading()

        assert in_child(close) == "True False"
        # Nobody would watch for the child.
        assert in_child(resume) == REFUSAL
        assert arrived(far) == b""
        far.send(b"hello")
        await until(lambda: protocol.data == b"hello")
        await end(transport, protocol, far)

    run_native(main())


def test_a_transport_that_is_collected_in_the_child(run_native: Run) -> None:
    """It closes the child's descriptor, warns of nothing and does not end the connection."""

    async def main() -> None:
        kept = list(await connection())
        number = kept[0].get_extra_info("socket").fileno()

        def collect() -> str:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                # The loop, which watches it, holds it.
                kept[0].pause_reading()
                del kept[0]
                gc.collect()
            return f"{is_open(number)} {[str(it.message) for it in caught]}"

        assert in_child(collect) == "False []"
        transport, protocol, far = kept
        assert arrived(far) == b""
        far.send(b"hello")
        await until(lambda: protocol.data == b"hello")
        await end(transport, protocol, far)

    run_native(main())


def test_a_stream_writer_that_goes_in_the_child(run_native: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=near)
        writer.write(b"parent's")
        assert in_child(writer.close) == "None"
        assert arrived(far) == b"parent's"
        far.send(b"hello")
        assert await reader.readexactly(5) == b"hello"
        far.close()
        writer.close()
        await writer.wait_closed()

    run_native(main())
