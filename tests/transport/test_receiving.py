"""What comes: buffers of the protocol's own, the peer's end, protocols that raise."""

import array
import asyncio
import mmap
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.loops import Run, turns, until
from tests.support.protocols import Echo, Filling, HalfOpen, Recorder

from .peers import connected, gone, pattern, read_all, reports, reset

ROOMS: dict[str, Callable[[], Any]] = {
    "bytearray": lambda: bytearray(1000),
    "one byte": lambda: bytearray(1),
    "memoryview": lambda: memoryview(bytearray(1000))[10:900],
    "array of bytes": lambda: array.array("B", bytes(1000)),
    "array of doubles": lambda: array.array("d", [0.0] * 100),
    "memoryview of shorts": lambda: memoryview(bytearray(1000)).cast("H"),
    "mmap": lambda: mmap.mmap(-1, 4096),
}


@pytest.mark.parametrize(
    ("sent", "pieces"),
    [
        ([70_000], [70_000]),
        ([200_000], [200_000]),
        ([10, 150_000, 10], [150_020]),
        ([300_000], [262_144, 37_856]),
    ],
)
def test_what_lies_there_comes_in_one_piece(run: Run, sent: list[int], pieces: list[int]) -> None:
    """Programs with a message a write rely on it, though no protocol promises that."""

    async def main() -> list[int]:
        near, far = socket.socketpair()
        with near, far:
            for end in (near, far):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                end.setblocking(False)
            if [far.send(bytes(size)) for size in sent] != sent:
                pytest.skip("the system has no room for that much")
            protocol = Recorder()
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: protocol, sock=near)
            await until(lambda: len(protocol.data) == sum(sent))
            transport.close()
            return [len(chunk) for chunk in protocol.chunks]

    assert run(main()) == pieces


@pytest.mark.parametrize("kind", ROOMS)
def test_any_writable_memory_will_do(run: Run, kind: str) -> None:
    protocol = Filling(ROOMS[kind])

    async def main() -> None:
        async with connected(protocol) as (_, peer):
            peer.sendall(pattern(5000))
            await until(lambda: len(protocol.data) == 5000)
            assert set(protocol.hints) == {-1}
            peer.close()
            await until(lambda: protocol.lost)

    run(main())
    assert protocol.data == pattern(5000)
    assert protocol.calls == ["made", "eof", "lost"]


def test_the_buffer_is_free_once_it_was_filled(run: Run) -> None:
    room = bytearray(100)

    class Resizes(Filling):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            # A BufferError if the transport still exported it.
            room.append(0)

    protocol = Resizes(lambda: room)

    async def main() -> None:
        async with connected(protocol) as (_, peer):
            peer.sendall(b"data")
            await until(lambda: protocol.data == b"data")

    run(main())
    assert len(room) == 101
    assert room.startswith(b"data")


BAD_ROOMS: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "empty": (bytearray, RuntimeError),
    "empty view": (lambda: memoryview(b""), RuntimeError),
    "nothing": (lambda: None, TypeError),
    "number": (lambda: 5, TypeError),
    "read-only": (lambda: b"bytes", TypeError),
    "scattered": (lambda: memoryview(bytearray(10))[::2], (BufferError, TypeError)),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("kind", BAD_ROOMS)
def test_memory_that_will_not_do_ends_the_connection(run: Run, kind: str) -> None:
    room, error = BAD_ROOMS[kind]
    protocol = Filling(room)

    async def main() -> None:
        contexts = reports()
        async with connected(protocol) as (transport, peer):
            peer.sendall(b"data")
            await until(lambda: protocol.lost)
            (context,) = contexts
            assert isinstance(context["exception"], error)
            assert context["transport"] is transport
            assert context["protocol"] is protocol
            if kind in {"empty", "nothing", "number"}:
                message = "Fatal error: protocol.get_buffer() call failed."
                assert context["message"] == message
            if kind == "empty":
                text = "get_buffer() returned an empty buffer"
                assert str(context["exception"]) == text
            assert protocol.lost == [context["exception"]]

    run(main())
    assert protocol.calls == ["made", "lost"]


class Faulty(Recorder):
    """Raises ``error`` in ``method``."""

    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__()
        self.method = method
        self.error = error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.fail("connection_made")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.fail("data_received")

    def eof_received(self) -> bool | None:
        super().eof_received()
        self.fail("eof_received")
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.fail("connection_lost")

    def fail(self, method: str) -> None:
        if method == self.method:
            raise self.error


class FaultyFilling(Filling):
    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__()
        self.method = method
        self.error = error

    def get_buffer(self, sizehint: int) -> Any:
        if self.method == "get_buffer":
            raise self.error
        return super().get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        if self.method == "buffer_updated":
            raise self.error


@pytest.mark.parametrize("error_type", [ValueError, asyncio.CancelledError])
@pytest.mark.parametrize(
    "method", ["data_received", "eof_received", "get_buffer", "buffer_updated"]
)
def test_an_error_of_the_protocol_ends_the_connection(
    run: Run, method: str, error_type: type[BaseException]
) -> None:
    # Made here: its traceback leads to all that this test has.
    error = error_type("mine")
    kind = FaultyFilling if "buffer" in method else Faulty
    protocol = kind(method, error)

    async def main() -> None:
        contexts = reports()
        async with connected(protocol) as (transport, peer):
            peer.sendall(b"data")
            peer.shutdown(1)
            await until(lambda: protocol.lost)
            (context,) = contexts
            assert context["message"] == f"Fatal error: protocol.{method}() call failed."
            assert context["exception"] is error
            assert context["transport"] is transport
            assert context["protocol"] is protocol
            assert protocol.lost == [error]

    run(main())
    assert protocol.calls.count("lost") == 1


def test_a_network_error_of_the_protocol_is_not_reported(run: Run) -> None:
    error = ConnectionError("mine")
    protocol = Faulty("data_received", error)

    async def main() -> None:
        async with connected(protocol) as (_, peer):
            peer.sendall(b"data")
            await until(lambda: protocol.lost)

    run(main())
    assert protocol.lost == [error]


def test_an_error_in_connection_made_is_reported_only(run: Run) -> None:
    error = ValueError("mine")
    protocol = Faulty("connection_made", error)

    async def main() -> None:
        contexts = reports()
        async with connected(protocol) as (transport, peer):
            (context,) = contexts
            assert context["exception"] is error
            assert context["message"].startswith("Exception in callback Faulty.connection_made(")
            # The connection works all the same.
            peer.sendall(b"data")
            await until(lambda: protocol.data == b"data")
            assert not transport.is_closing()

    run(main())
    assert protocol.calls == ["made", "lost"]


def test_an_error_in_connection_lost_leaves_nothing_open(run: Run) -> None:
    error = ValueError("mine")
    protocol = Faulty("connection_lost", error)

    async def main() -> None:
        contexts = reports()
        async with connected(protocol) as (transport, peer):
            transport.close()
            await gone(transport)
            assert await read_all(peer) == b""
            assert [context["exception"] for context in contexts] == [error]
            assert contexts[0]["message"].startswith("Exception in callback ")

    run(main())
    assert protocol.lost == [None]


@pytest.mark.parametrize("method", ["connection_made", "data_received", "connection_lost"])
def test_an_exit_leaves_the_loop(run: Run, method: str) -> None:
    protocol = Faulty(method, SystemExit(7))

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            peer.sendall(b"data")
            if method == "connection_lost":
                transport.close()
            await until(lambda: False)

    with pytest.raises(SystemExit):
        run(main())


def test_the_peers_end_closes(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            peer.sendall(b"all")
            peer.shutdown(1)
            await until(lambda: protocol.lost)
            assert transport.is_closing()
            assert await read_all(peer) == b""

    run(main())
    assert protocol.calls == ["made", "eof", "lost"]
    assert protocol.data == b"all"
    assert protocol.lost == [None]


def test_the_peers_end_lets_what_waits_leave(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            transport.write(pattern(1_000_000))
            peer.shutdown(1)
            await until(lambda: "eof" in protocol.calls)
            assert protocol.lost == []
            assert await read_all(peer) == pattern(1_000_000)
            await until(lambda: protocol.lost)

    run(main())
    assert protocol.lost == [None]


def test_half_open(run: Run) -> None:
    protocol = HalfOpen()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            peer.shutdown(1)
            await until(lambda: "eof" in protocol.calls)
            await turns(20)
            # Told once, and no busy loop of ends.
            assert protocol.calls == ["made", "eof"]
            assert not transport.is_closing()
            transport.write(b"still here")
            transport.write(bytes(100_000))
            transport.close()
            expected = b"still here" + bytes(100_000)
            assert await read_all(peer) == expected

    run(main())
    assert protocol.lost == [None]


def test_half_open_to_a_peer_that_resets(run: Run) -> None:
    protocol = HalfOpen()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            peer.shutdown(1)
            await until(lambda: "eof" in protocol.calls)
            transport.write(bytes(1_000_000))
            reset(peer)
            await until(lambda: protocol.lost)

    run(main())
    (error,) = protocol.lost
    assert isinstance(error, ConnectionError)


def test_one_byte_at_a_time(run: Run) -> None:
    protocol = Echo()

    async def main() -> None:
        def talk(peer: Any) -> bytes:
            answer = b""
            for byte in pattern(500):
                peer.sendall(bytes([byte]))
                answer += peer.recv(1)
            return answer

        async with connected(protocol) as (_, peer):
            assert await asyncio.to_thread(talk, peer) == pattern(500)

    run(main())
    assert protocol.data == pattern(500)
    assert len(protocol.chunks) == 500
