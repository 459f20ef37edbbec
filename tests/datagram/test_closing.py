"""``close``, ``abort``, what is sent after them, and endpoints that nobody closed."""

import asyncio
import gc
import logging
import socket
import sys
import weakref

import pytest

from tests.support.loops import HOST, Factory, Run, turns, until

from .peers import Recorder, endpoint, gone, name_of, nothing_to_read, udp, unix_pair


def test_the_end_comes_once_and_in_a_turn_of_its_own(run: Run) -> None:
    async def main() -> None:
        async with endpoint() as (transport, protocol):
            transport.close()
            transport.close()
            transport.abort()
            assert transport.is_closing()
            assert protocol.calls == ["made"]
            await gone(transport)
            await turns()
            assert protocol.calls == ["made", "lost"]
            assert protocol.lost == [None]
            assert transport.get_extra_info("socket").fileno() == -1

    run(main())


def test_what_waits_leaves_before_the_end(run: Run) -> None:
    async def main() -> None:
        near, far = unix_pair()
        with far:
            async with endpoint(sock=near) as (transport, protocol):
                sent = 0
                while not transport.get_write_buffer_size():
                    transport.sendto(b"%d" % sent)
                    sent += 1
                transport.close()
                # An endpoint that drains still takes datagrams.
                transport.sendto(b"%d" % sent)
                await turns()
                assert protocol.calls == ["made"]
                assert transport.is_closing()
                received = [await asyncio.to_thread(far.recv, 16) for _ in range(sent + 1)]
                assert received == [b"%d" % number for number in range(sent + 1)]
                await until(lambda: protocol.lost)

    run(main())


def test_an_abort_drops_what_waits(run: Run) -> None:
    async def main() -> None:
        near, far = unix_pair()
        with far:
            async with endpoint(sock=near) as (transport, protocol):
                sent = 0
                while not transport.get_write_buffer_size():
                    transport.sendto(b"x")
                    sent += 1
                transport.abort()
                assert transport.get_write_buffer_size() == 0 or sys.version_info < (3, 15)
                await until(lambda: protocol.lost)
                for _ in range(sent - 1):
                    far.recv(16)
                assert nothing_to_read(far)

    run(main())


def test_a_connected_endpoint_warns_after_its_end(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                transport.close()
                for _ in range(3):
                    transport.sendto(b"x")
                await gone(transport)
                for _ in range(4):
                    transport.sendto(b"x")
                assert nothing_to_read(peer)

    run(main())
    assert caplog.messages == ["socket.send() raised exception."] * 3


def test_an_unconnected_endpoint_sends_until_its_socket_is_closed(run: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint() as (transport, protocol):
                transport.close()
                transport.sendto(b"last words", peer.getsockname())
                transport.sendto(b"by name", ("localhost", peer.getsockname()[1]))
                assert peer.recv(16) == b"last words"
                assert peer.recv(16) == b"by name"
                transport.sendto(b"x" * 70_000, peer.getsockname())
                assert len(protocol.errors) == 1

    run(main())


def test_an_unconnected_endpoint_warns_after_its_end(
    run_native: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Stock asyncio raises an ``AttributeError`` about ``None`` here."""

    async def main() -> None:
        async with endpoint() as (transport, _):
            transport.close()
            await gone(transport)
            for _ in range(6):
                transport.sendto(b"x", (HOST, 9))

    run_native(main())
    assert caplog.messages == ["socket.send() raised exception."] * 2


def test_what_an_endpoint_looks_like(run_native: Run) -> None:
    async def main() -> None:
        async with endpoint() as (transport, _):
            fd = transport.get_extra_info("socket").fileno()
            shown = f"<DatagramTransport fd={fd} read=polling write=<idle, bufsize=0>>"
            assert repr(transport) == shown
            transport.pause_reading()
            assert "read=idle" in repr(transport)
            transport.close()
            assert repr(transport).startswith(f"<DatagramTransport closing fd={fd} read=idle")
            await gone(transport)
            assert repr(transport) == f"<DatagramTransport closed fd={fd}>"

    run_native(main())


def test_an_endpoint_that_nobody_closed(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(Recorder, local_addr=(HOST, 0))
        transport.pause_reading()
        del protocol.transport
        reference = weakref.ref(transport)
        with pytest.warns(ResourceWarning, match="unclosed transport <.*fd="):
            del transport
        assert reference() is None

    run(main())


def test_a_loop_that_ends_first(factory: Factory) -> None:
    loop = factory()
    transport, protocol = loop.run_until_complete(
        loop.create_datagram_endpoint(Recorder, local_addr=(HOST, 0))
    )
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        transport.close()
    assert protocol.calls == ["made"]
    del protocol.transport
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        del transport


def test_a_socket_closed_behind_the_transports_back(run_native: Run) -> None:
    """The number may be somebody else's by then: it is not closed again."""

    async def main() -> None:
        sock = udp()
        async with endpoint(sock=sock) as (transport, _):
            sock._real_close()  # type: ignore[attr-defined]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heir:
                transport.abort()
                await gone(transport)
                assert heir.getsockname()

    run_native(main())


def test_closing_the_socket_object_is_not_closing_the_transport(run: Run) -> None:
    async def main() -> None:
        sock = udp()
        async with endpoint(sock=sock) as (transport, protocol):
            address = name_of(transport)
            if type(transport).__name__ != "DatagramTransport":
                return  # Stock asyncio fails with EBADF from here on.
            sock.close()
            with udp() as peer:
                peer.sendto(b"x", address)
                await until(lambda: protocol.received)

    run(main())


def test_a_cycle_through_an_endpoint_is_collected(run_native: Run) -> None:
    async def main() -> None:
        async with endpoint() as (transport, protocol):
            await turns()
        reference = weakref.ref(transport)
        protocol.transport = transport
        protocol.itself = protocol
        del transport, protocol
        gc.collect()
        assert reference() is None

    run_native(main())


def test_many_endpoints_leave_nothing_behind(run_native: Run) -> None:
    async def main() -> None:
        async def one(number: int) -> None:
            with udp() as peer:
                async with endpoint(remote_addr=peer.getsockname()) as (transport, protocol):
                    transport.sendto(b"%d" % number)
                    data, addr = await asyncio.to_thread(peer.recvfrom, 8)
                    peer.sendto(data, addr)
                    await until(lambda: protocol.received)

        for round_number in range(5):
            await asyncio.gather(*(one(round_number * 20 + number) for number in range(20)))

    logging.getLogger("asyncio").setLevel(logging.WARNING)
    run_native(main())
