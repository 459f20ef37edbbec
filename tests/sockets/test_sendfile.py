"""``sock_sendfile`` and ``sendfile``."""

import asyncio
import io
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.loops import FACTORIES, Factory, Run, turns, until
from tests.support.releases import stock_has

from .conftest import connected, drain, fill, pair

DATA = bytes(range(256)) * 5000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file with ``DATA`` in it."""
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


async def receive(sock: socket.socket, count: int) -> bytes:
    """Receive exactly so much, or what there is until the end."""
    loop = asyncio.get_running_loop()
    received = bytearray()
    while len(received) < count and (data := await loop.sock_recv(sock, 100_000)):
        received += data
    return bytes(received)


class Peer(asyncio.Protocol):
    """Keeps what happens to it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.calls: list[str] = []
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@asynccontextmanager
async def transport_and_peer() -> AsyncIterator[tuple[Any, Peer, socket.socket]]:
    """Give a transport with its protocol, and the socket at the other end."""
    loop = asyncio.get_running_loop()
    with connected(room=32 * 1024) as (near, far):
        transport, protocol = await loop.create_connection(Peer, sock=near)
        try:
            yield transport, protocol, far
        finally:
            transport.abort()
            await protocol.lost


class Plain:
    """A file without a descriptor, which only its own methods can read."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.readinto = self._file.readinto
        self.seek = self._file.seek
        self.tell = self._file.tell


@pytest.mark.parametrize(
    ("offset", "count"), [(0, None), (1000, 2000), (1, None), (len(DATA), None), (0, len(DATA) + 9)]
)
@pytest.mark.parametrize("kind", ["file", "plain"])
def test_over_a_socket(run: Run, path: Path, kind: str, offset: int, count: int | None) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        expected = DATA[offset:] if count is None else DATA[offset : offset + count]
        with pair() as (near, far), path.open("rb") as opened:
            file: Any = opened if kind == "file" else Plain(DATA)
            sending = asyncio.ensure_future(loop.sock_sendfile(near, file, offset, count))
            received = asyncio.ensure_future(receive(far, len(expected)))
            assert await sending == len(expected)
            assert await received == expected
            if expected:
                assert file.tell() == offset + len(expected)
            assert not loop.remove_writer(near)

    run(main())


def test_an_empty_file(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "empty").touch()
        with pair() as (near, _), (tmp_path / "empty").open("rb") as file:
            assert await asyncio.get_running_loop().sock_sendfile(near, file) == 0

    run(main())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 0), ValueError, "count must be a positive integer (got 0)"),
        ((0, -1), ValueError, "count must be a positive integer (got -1)"),
        ((0, "1"), TypeError, "count must be a positive integer (got '1')"),
        ((-1, None), ValueError, "offset must be a non-negative integer (got -1)"),
        ((1.5, None), TypeError, "offset must be a non-negative integer (got 1.5)"),
    ],
)
def test_arguments_that_make_no_sense(
    run: Run, path: Path, arguments: Any, error: type[Exception], message: str
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, _), path.open("rb") as file:
            with pytest.raises(error) as raised:
                await loop.sock_sendfile(near, file, *arguments)
            assert str(raised.value) == message
            async with transport_and_peer() as (transport, _, _):
                with pytest.raises(error) as raised:
                    await loop.sendfile(transport, file, *arguments)
                assert str(raised.value) == message
                transport.write(b"it goes on")

    run(main())


def test_what_is_refused(run: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, _), path.open() as text, path.open("rb") as file:
            with pytest.raises(ValueError, match="file should be opened in binary mode"):
                await loop.sock_sendfile(near, text)  # type: ignore[arg-type]
            message = "only SOCK_STREAM type sockets are supported"
            with pair(socket.SOCK_DGRAM) as (sock, _), pytest.raises(ValueError, match=message):
                await loop.sock_sendfile(sock, file)
            with pytest.raises(asyncio.SendfileNotAvailableError, match="not a regular file"):
                await loop.sock_sendfile(near, Plain(DATA), fallback=False)  # type: ignore[arg-type]

    run(main())


def test_a_blocking_socket_is_refused_in_debug_mode(run: Run, path: Path) -> None:
    async def main() -> None:
        message = "the socket must be non-blocking"
        with path.open("rb") as file, socket.socket() as sock:
            sending = asyncio.get_running_loop().sock_sendfile(sock, file)
            with pytest.raises(ValueError, match=message):
                await sending

    run(main(), debug=True)


def test_a_socket_that_is_not_connected(run: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock, path.open("rb") as file:
            sock.setblocking(False)
            with pytest.raises(
                asyncio.SendfileNotAvailableError, match=r"^os\.sendfile call failed$"
            ):
                await loop.sock_sendfile(sock, file, fallback=False)
            with pytest.raises(BrokenPipeError):
                await loop.sock_sendfile(sock, file)

    run(main())


def test_the_peer_goes_away_in_the_middle(run: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with connected(room=4096) as (near, far), path.open("rb") as file:
            sending = asyncio.ensure_future(loop.sock_sendfile(near, file))
            await receive(far, 10_000)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
            with pytest.raises(ConnectionError):
                await sending
            assert 10_000 <= file.tell() < len(DATA)

    run(main())


def test_cancelling_tells_how_far_it_came(run_native: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far), path.open("rb") as file:
            sending = asyncio.ensure_future(loop.sock_sendfile(near, file))
            await turns()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert not loop.remove_writer(near)
            assert len(drain(far)) == file.tell() < len(DATA)

    run_native(main())


@pytest.mark.parametrize("kind", ["file", "plain"])
def test_over_a_transport(run: Run, path: Path, kind: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with transport_and_peer() as (transport, protocol, far):
            with path.open("rb") as opened:
                file: Any = opened if kind == "file" else Plain(DATA)
                transport.write(b"before")
                receiving = asyncio.ensure_future(receive(far, 6 + len(DATA) - 100 + 5))
                assert await loop.sendfile(transport, file, 100) == len(DATA) - 100
                assert file.tell() == len(DATA)
                transport.write(b"after")
                assert await receiving == b"before" + DATA[100:] + b"after"
                # Reading was paused, and goes on.
                far.send(b"answer")
                await until(lambda: protocol.received == b"answer")
                assert transport.get_protocol() is protocol
                assert not protocol.calls

    run(main())


def test_the_queue_goes_first(run: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with transport_and_peer() as (transport, protocol, far):
            first = bytes(1_000_000)
            transport.write(first)
            with path.open("rb") as file:
                sending = asyncio.ensure_future(loop.sendfile(transport, file, 0, 1000))
                await turns()
                far.send(b"later")
                with pytest.raises(RuntimeError, match="unable to write; sendfile is in progress"):
                    transport.write(b"no")
                with pytest.raises(RuntimeError, match="sendfile is in progress"):
                    transport.writelines([b"no"])
                assert protocol.received == b""
                received = await receive(far, len(first) + 1000)
                assert await sending == 1000
                assert received == first + DATA[:1000]
                await until(lambda: protocol.received == b"later")
                assert protocol.calls == ["pause", "resume"]

    run(main())


def test_one_file_at_a_time(run_native: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with transport_and_peer() as (transport, protocol, far):
            with path.open("rb") as file, path.open("rb") as other:
                sending = asyncio.ensure_future(loop.sendfile(transport, file))
                await turns()
                with pytest.raises(RuntimeError, match="Empty waiter is already set"):
                    await loop.sendfile(transport, other)
                far.send(b"later")
                assert await receive(far, len(DATA)) == DATA
                assert await sending == len(DATA)
                await until(lambda: protocol.received == b"later")

    run_native(main())


def test_a_transport_that_does_not_read_stays_so(run: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with transport_and_peer() as (transport, protocol, far):
            transport.pause_reading()
            with path.open("rb") as file:
                await loop.sendfile(transport, file, 0, 10)
                await loop.sendfile(transport, Plain(DATA), 0, 10)
            far.send(b"data")
            await turns(10)
            assert not transport.is_reading()
            assert protocol.received == b""

    run(main())


def test_closing_the_transport_in_the_middle(run_native: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with path.open("rb") as file:
            for end in ("close", "abort"):
                async with transport_and_peer() as (transport, protocol, far):
                    sending = asyncio.ensure_future(loop.sendfile(transport, file))
                    await turns()
                    getattr(transport, end)()
                    with pytest.raises(ConnectionError, match="Connection is closed by peer"):
                        await sending
                    await asyncio.wait_for(asyncio.shield(protocol.lost), 10)
                    assert len(drain(far)) == file.tell() < len(DATA)
                async with transport_and_peer() as (transport, protocol, far):
                    transport.write(bytes(4_000_000))
                    sending = asyncio.ensure_future(loop.sendfile(transport, file))
                    await turns()
                    transport.abort()
                    with pytest.raises(ConnectionError):
                        await sending

    run_native(main())


def test_cancelling_gives_the_transport_back(run: Run, path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with path.open("rb") as file:
            async with transport_and_peer() as (transport, protocol, far):
                sending = asyncio.ensure_future(loop.sendfile(transport, file))
                await turns()
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                drain(far)
                transport.write(b"more")
                far.send(b"answer")
                await until(lambda: protocol.received == b"answer")
                await until(lambda: drain(far).endswith(b"more"))

    run(main())


def test_transports_that_will_not(run: Run, path: Path) -> None:
    class Other(asyncio.Transport):
        def is_closing(self) -> bool:
            return False

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with path.open("rb") as file:
            other = Other()
            with pytest.raises(RuntimeError) as error:
                await loop.sendfile(other, file)
            assert str(error.value) == f"sendfile is not supported for transport {other!r}"
            from asyncio import constants

            other._sendfile_compatible = constants._SendfileMode.FALLBACK  # type: ignore[attr-defined]
            with pytest.raises(RuntimeError) as error:
                await loop.sendfile(other, file, fallback=False)
            assert str(error.value) == (
                f"fallback is disabled and native sendfile is not supported for transport {other!r}"
            )
            with pytest.raises(TypeError, match="transport should be _FlowControlMixin instance"):
                await loop.sendfile(other, file)
            async with transport_and_peer() as (transport, _, _):
                transport.close()
                with pytest.raises(RuntimeError, match="Transport is closing"):
                    await loop.sendfile(transport, file)

    run(main())


def test_falling_back_waits_for_room(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with transport_and_peer() as (transport, protocol, far):
            transport.set_write_buffer_limits(4096)
            fill(transport.get_extra_info("socket")._sock)
            sending = asyncio.ensure_future(loop.sendfile(transport, Plain(DATA)))
            await until(lambda: transport.get_write_buffer_size() > 0)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert transport.get_write_buffer_size() <= 4 * 16 * 1024
            assert transport.get_protocol() is not protocol
            received = bytearray()
            while not received.endswith(DATA):
                received += await loop.sock_recv(far, 1_000_000)
            assert await sending == len(DATA)
            assert transport.get_protocol() is protocol
            assert protocol.calls == []

    run(main())


def test_falling_back_when_the_connection_ends(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with transport_and_peer() as (transport, _protocol, far):
            transport.set_write_buffer_limits(4096)
            fill(transport.get_extra_info("socket")._sock)
            sending = asyncio.ensure_future(loop.sendfile(transport, Plain(DATA)))
            await until(lambda: transport.get_write_buffer_size() > 4096)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
            with pytest.raises(ConnectionError):
                await sending

    run(main())


def test_a_replaced_native_way_is_heeded(run: Run, path: Path) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        asked: list[str] = []

        def refusing(name: str) -> Callable[..., Any]:
            async def refuse(*_: object) -> int:
                asked.append(name)
                raise asyncio.SendfileNotAvailableError("not here")

            return refuse

        with path.open("rb") as file:
            async with transport_and_peer() as (transport, _, far):
                loop._sendfile_native = refusing("transport")
                loop._sock_sendfile_native = refusing("socket")
                try:
                    assert await loop.sendfile(transport, file, 0, 10) == 10
                    with pytest.raises(asyncio.SendfileNotAvailableError, match="not here"):
                        await loop.sendfile(transport, file, fallback=False)
                    assert await receive(far, 10) == DATA[:10]
                    with pair() as (near, other):
                        assert await loop.sock_sendfile(near, file, 5, 10) == 10
                        assert drain(other) == DATA[5:15]
                finally:
                    del loop._sendfile_native, loop._sock_sendfile_native
                assert asked == ["transport", "transport", "socket"]

    run(main())


@pytest.mark.parametrize("kind", ["file", "plain"])
@pytest.mark.parametrize("over", ["socket", "transport"])
def test_it_begins_at_its_offset(
    run: Run, factory: Factory, path: Path, kind: str, over: str
) -> None:
    """Wherever the file stands, and whether or not anything is sent."""
    if factory is FACTORIES["asyncio"] and not stock_has((3, 13, 14), (3, 14, 6)):
        pytest.skip("asyncio begins where the file stands, or leaves it there")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with transport_and_peer() as (transport, _, far):
            with pair() as (near, other), path.open("rb") as opened:
                file: Any = opened if kind == "file" else Plain(DATA)
                peer = other if over == "socket" else far
                for offset, count in [(0, 100), (len(DATA), None), (5, 50)]:
                    file.seek(1000)
                    expected = DATA[offset:] if count is None else DATA[offset : offset + count]
                    if over == "socket":
                        sending = loop.sock_sendfile(near, file, offset, count)
                    else:
                        sending = loop.sendfile(transport, file, offset, count)
                    assert await sending == len(expected)
                    assert await receive(peer, len(expected)) == expected
                    assert file.tell() == offset + len(expected)

    run(main())


def test_what_is_written_last_is_waited_for(run: Run, factory: Factory) -> None:
    if factory is FACTORIES["asyncio"] and not stock_has((3, 13, 3)):
        pytest.skip("asyncio does not wait for the last piece")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with transport_and_peer() as (transport, _, far):
            transport.set_write_buffer_limits(0)
            file: Any = Plain(DATA[:16_000])
            filled = fill(transport.get_extra_info("socket")._sock)
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await until(lambda: file.tell() == 16_000)
            await turns(5)
            assert not sending.done()
            reading = asyncio.ensure_future(receive(far, filled + 16_000))
            assert await sending == 16_000
            assert len(await reading) == filled + 16_000

    run(main())
