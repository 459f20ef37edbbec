"""Every method of a transport, as asyncio documents it."""

import asyncio
import socket
import sys
from asyncio.trsock import TransportSocket
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.loops import Run, turns, until
from tests.support.protocols import Filling, HalfOpen, Recorder

from .peers import connected, gone, nothing_to_read, read_all

if TYPE_CHECKING:
    from collections.abc import Callable


def test_is_a_transport_of_asyncio(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, _):
            for standard in (asyncio.Transport, asyncio.ReadTransport, asyncio.WriteTransport):
                assert isinstance(transport, standard)
            assert isinstance(transport, asyncio.BaseTransport)
            assert not isinstance(transport, asyncio.DatagramTransport)

    run(main())


def test_extra_info(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            assert transport.get_extra_info("peername") == peer.getsockname()
            assert transport.get_extra_info("sockname") == peer.getpeername()
            sock = transport.get_extra_info("socket")
            assert isinstance(sock, TransportSocket)
            assert sock.getpeername() == peer.getsockname()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert transport.get_extra_info("socket") is sock
            assert transport.get_extra_info("missing") is None
            default = object()
            assert transport.get_extra_info("missing", default) is default
            assert transport.get_extra_info(name="missing", default=default) is default
            assert transport.get_extra_info("peername", default) == peer.getsockname()
            assert transport.get_extra_info("sslcontext") is None

    run(main())


@pytest.mark.parametrize("asked_before", [True, False])
def test_extra_info_after_close(run: Run, *, asked_before: bool) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            keys = ["peername", "sockname", "socket"]
            before = [transport.get_extra_info(key) for key in keys] if asked_before else None
            expected = [peer.getsockname(), peer.getpeername()]
            transport.close()
            await gone(transport)
            after = [transport.get_extra_info(key) for key in keys]
            assert after[:2] == expected
            if before is not None:
                assert after == before
            assert after[2].fileno() == -1
            with pytest.raises(OSError, match="Bad file descriptor"):
                after[2].getpeername()
            assert transport.get_extra_info("missing", 1) == 1

    run(main())


def test_closing_twice_and_more(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            assert not transport.is_closing()
            transport.close()
            assert transport.is_closing()
            # The protocol hears of it later, as of everything else.
            assert protocol.calls == ["made"]
            transport.close()
            transport.abort()
            await gone(transport)
            transport.close()
            transport.abort()
            await turns()
            assert transport.is_closing()
            assert await read_all(peer) == b""

    run(main())
    assert protocol.calls == ["made", "lost"]
    assert protocol.lost == [None]


def test_reading_can_be_paused(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            assert transport.is_reading()
            transport.resume_reading()
            assert transport.is_reading()
            assert transport._paused is False
            transport.pause_reading()
            transport.pause_reading()
            assert not transport.is_reading()
            assert transport._paused is True
            peer.sendall(b"one")
            sock = transport.get_extra_info("socket")
            # The bytes have arrived, and nobody takes them.
            await until(lambda: not nothing_to_read(sock._sock))
            await turns(10)
            assert protocol.data == b""
            transport.resume_reading()
            transport.resume_reading()
            assert transport.is_reading()
            await until(lambda: protocol.data == b"one")
            assert transport._closing is False
            transport.close()
            assert transport._closing is True
            assert not transport.is_reading()
            transport.pause_reading()
            transport.resume_reading()
            assert not transport.is_reading()

    run(main())


class PausesItself(Recorder):
    """Takes one chunk at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.pause_reading()


def has_chunks(protocol: Recorder, count: int) -> bool:
    return len(protocol.chunks) == count


def test_a_protocol_may_pause_in_its_callbacks(run: Run) -> None:
    protocol = PausesItself()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            assert not transport.is_reading()
            peer.sendall(bytes(300_000))
            await turns(10)
            assert protocol.chunks == []
            for count in (1, 2):
                transport.resume_reading()
                await until(partial(has_chunks, protocol, count))
                await turns(10)
                assert len(protocol.chunks) == count
                assert not transport.is_reading()

    run(main())


def test_no_read_is_larger_than_asyncios(run: Run) -> None:
    protocol = PausesItself()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            sending = asyncio.to_thread(peer.sendall, bytes(3_000_000))
            task = asyncio.ensure_future(sending)
            while sum(map(len, protocol.chunks)) < 3_000_000:
                transport.resume_reading()
                await asyncio.sleep(0)
            await task
            assert max(map(len, protocol.chunks)) <= 256 * 1024

    run(main())


def test_protocols_change_in_mid_stream(run: Run) -> None:
    plain, filling, last = Recorder(), Filling(), Recorder()

    async def main() -> None:
        async with connected(plain) as (transport, peer):
            assert transport.get_protocol() is plain
            peer.sendall(b"plain")
            await until(lambda: plain.data == b"plain")
            transport.set_protocol(filling)
            assert transport.get_protocol() is filling
            peer.sendall(b"filling")
            await until(lambda: filling.data == b"filling")
            transport.set_protocol(last)
            peer.sendall(b"last")
            await until(lambda: last.data == b"last")
            peer.close()
            await gone(transport)

    run(main())
    # Nobody is told of a connection that was made before; the last hears the end.
    assert plain.calls == ["made"]
    assert filling.calls == []
    assert filling.hints == [-1]
    assert last.calls == ["eof", "lost"]


class Handover(Recorder):
    """Gives its transport to another protocol while it is called."""

    def __init__(self, heir: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.heir = heir

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.set_protocol(self.heir)


def test_a_protocol_may_hand_over_in_data_received(run: Run) -> None:
    heir = Filling(lambda: bytearray(3))
    first = Handover(heir)

    async def main() -> None:
        async with connected(first) as (_, peer):
            peer.sendall(b"a")
            await until(lambda: first.data)
            peer.sendall(b"bcdefgh")
            await until(lambda: len(heir.data) == 7)

    run(main())
    assert (first.data, heir.data) == (b"a", b"bcdefgh")


def test_write_eof(run: Run) -> None:
    protocol = HalfOpen()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            assert transport.can_write_eof()
            transport.write(b"last words")
            transport.write_eof()
            transport.write_eof()
            assert not transport.is_closing()
            with pytest.raises(RuntimeError, match=r"^Cannot call write\(\) after write_eof\(\)$"):
                transport.write(b"more")
            with pytest.raises(RuntimeError):
                transport.write(b"")
            # Python 3.11 joins the lines and writes them.
            name = "writelines" if sys.version_info >= (3, 12) else "write"
            with pytest.raises(RuntimeError, match=rf"^Cannot call {name}\(\) after write_eof"):
                transport.writelines([b"more"])
            assert await read_all(peer) == b"last words"
            # The other half still works.
            peer.sendall(b"answer")
            await until(lambda: protocol.data == b"answer")
            transport.close()
            transport.write_eof()

    run(main())
    assert protocol.lost == [None]


@pytest.mark.parametrize("data", ["text", 1, None, [b"bytes"], 1.5, object()])
def test_only_bytes_are_written(run: Run, data: Any) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            with pytest.raises(TypeError, match="data argument must be a bytes") as error:
                transport.write(data)
            assert type(data).__name__ in str(error.value)
            if type(transport).__module__ != "asyncio.selector_events" or sys.version_info < (
                3,
                14,
            ):
                # From 3.14 on asyncio passes over None and keeps the lines before a wrong one for ever.
                with pytest.raises(TypeError):
                    transport.writelines([b"fine", data])
            with pytest.raises(TypeError):
                cast(Any, transport).write()
            transport.close()
            assert await read_all(peer) == b""

    run(main())


def test_wrong_arguments(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, _):
            loose = cast(Any, transport)
            calls: list[Callable[..., object]] = [
                loose.get_extra_info,
                lambda: loose.close(1),
                loose.set_protocol,
                lambda: loose.writelines(5),
                loose.writelines,
                lambda: loose.set_write_buffer_limits(high="much"),
            ]
            for call in calls:
                with pytest.raises(TypeError):
                    call()

    run(main())


def test_what_can_be_written(run: Run) -> None:
    class Bytes(bytes):
        pass

    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            transport.write(b"bytes ")
            transport.write(Bytes(b"subclass "))
            transport.write(bytearray(b"bytearray "))
            transport.write(memoryview(b"a memoryview ")[2:])
            transport.write(b"")
            transport.write(bytearray())
            transport.write(memoryview(b""))
            transport.writelines([])
            transport.writelines([b"several ", bytearray(b"lines "), memoryview(b"as "), b"one"])
            transport.writelines(iter([b" and", b" again"]))
            transport.close()
            expected = b"bytes subclass bytearray memoryview several lines as one and again"
            assert await read_all(peer) == expected

    run(main())


def test_repr_in_each_state(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder(), small=True) as (transport, _):
            name = type(transport).__name__
            fd = transport.get_extra_info("socket").fileno()
            idle = "write=<idle, bufsize=0>"
            assert repr(transport) == f"<{name} fd={fd} read=polling {idle}>"
            transport.pause_reading()
            assert repr(transport) == f"<{name} fd={fd} read=idle {idle}>"
            transport.resume_reading()
            transport.write(bytes(1_000_000))
            waiting = transport.get_write_buffer_size()
            assert 0 < waiting < 1_000_000
            busy = f"write=<polling, bufsize={waiting}>"
            assert repr(transport) == f"<{name} fd={fd} read=polling {busy}>"
            transport.close()
            assert repr(transport) == f"<{name} closing fd={fd} read=idle {busy}>"
            transport.abort()
            assert repr(transport) == f"<{name} closing fd={fd} read=idle {idle}>"
            await gone(transport)
            assert repr(transport) == f"<{name} closed fd={fd}>"

    run(main())
