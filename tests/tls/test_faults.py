"""Peers that do what they should not, and programs that give up: no hang, no crash, nothing left open."""

import asyncio
import contextlib
import socket
import ssl
import struct
from typing import Any

import pytest

from tests.support.certificates import Contexts
from tests.support.loops import Run, until
from tests.support.protocols import Echo, Recorder

from .peers import ByHand, Refilling, accepted, connect, listening, serving


def plain(address: tuple[str, int]) -> socket.socket:
    """Connect a plain socket: the listener's backlog takes it at once."""
    sock = socket.socket()
    sock.settimeout(10)
    sock.connect(address)
    return sock


def test_a_client_whose_server_never_speaks(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        with listening() as sock:
            message = "SSL handshake is taking longer than 0.1 seconds: aborting the connection"
            with pytest.raises(ConnectionAbortedError, match=message):
                await connect(contexts, Recorder, sock.getsockname(), ssl_handshake_timeout=0.1)

    run(main())


def test_a_server_whose_client_never_speaks(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder, ssl_handshake_timeout=0.1) as (address, made):
            with plain(address) as sock:
                ended = asyncio.get_running_loop().run_in_executor(None, sock.recv, 1)
                assert await ended == b""
            assert made[0].calls == []

    run(main())


@pytest.mark.parametrize("debug", [False, True])
def test_a_client_that_speaks_no_tls(run: Run, contexts: Contexts, debug: bool) -> None:
    async def main() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, it: reported.append(it))
        async with serving(contexts, Recorder) as (address, made):
            with plain(address) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                ended = asyncio.get_running_loop().run_in_executor(None, sock.recv, 1000)
                try:
                    while await ended:
                        ended = asyncio.get_running_loop().run_in_executor(None, sock.recv, 1000)
                except ConnectionResetError:
                    pass
            assert made[0].calls == []
            await until(lambda: len(reported) == int(debug))
        if debug:
            message = "Error on transport creation for incoming connection"
            assert reported[0]["message"] == message
            assert isinstance(reported[0]["exception"], ssl.SSLError)
            assert reported[0]["protocol"] is made[0]
            assert reported[0]["transport"].is_closing()

    run(main(), debug=debug)


def test_the_stream_ends_during_the_handshake(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        with listening() as sock:
            connecting = asyncio.ensure_future(connect(contexts, Recorder, sock.getsockname()))
            (await accepted(sock)).close()
            with pytest.raises(ConnectionResetError):
                await connecting

    run(main())


def test_connecting_is_cancelled_during_the_handshake(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        with listening() as sock:
            connecting = asyncio.ensure_future(connect(contexts, Recorder, sock.getsockname()))
            peer = await accepted(sock)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            loop = asyncio.get_running_loop()
            # Whether or not the client has said its first word.
            with contextlib.suppress(ConnectionResetError):
                while await loop.run_in_executor(None, peer.recv, 100_000):
                    pass
            peer.close()

    run(main())


def test_records_that_come_byte_by_byte(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, made):
            peer = ByHand(contexts, plain(address), server_side=False)
            await peer.handshake(piece=1)
            peer.tls.write(b"slow, but whole")
            await peer.send(piece=1)
            assert await peer.read(15) == b"slow, but whole"
            peer.close()
            await until(lambda: made[0].lost)

    run(main())


def test_an_end_without_close_notify(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            peer = ByHand(contexts, plain(address), server_side=False)
            await peer.handshake()
            peer.tls.write(b"data")
            await peer.send()
            peer.sock.shutdown(socket.SHUT_WR)
            await until(lambda: made[0].lost)
            assert made[0].data == b"data"
            assert made[0].calls == ["made", "eof", "lost"]
            peer.close()

    run(main())


def test_data_right_before_close_notify_is_delivered(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        for kind in (Recorder, Refilling):
            async with serving(contexts, kind) as (address, made):
                peer = ByHand(contexts, plain(address), server_side=False)
                await peer.handshake()
                peer.tls.write(b"data" * 10_000)
                with pytest.raises(ssl.SSLWantReadError):
                    peer.tls.unwrap()
                await peer.send()
                await until(lambda: made[0].lost)
                assert made[0].data == b"data" * 10_000
                assert made[0].lost == [None]
                peer.close()

    run(main())


def test_a_truncated_record(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            peer = ByHand(contexts, plain(address), server_side=False)
            await peer.handshake()
            peer.tls.write(b"half of it")
            record = peer.outgoing.read()
            peer.outgoing.write(record[:-5])
            await peer.send()
            peer.close()
            await until(lambda: made[0].lost)
            assert made[0].data == b""

    run(main())


@pytest.mark.parametrize("kind", [Recorder, Refilling])
def test_a_corrupted_record(run: Run, contexts: Contexts, kind: type[Recorder]) -> None:
    async def main() -> None:
        async with serving(contexts, kind) as (address, made):
            peer = ByHand(contexts, plain(address), server_side=False)
            await peer.handshake()
            peer.tls.write(b"not like this")
            record = bytearray(peer.outgoing.read())
            record[-1] ^= 1
            peer.outgoing.write(record)
            await peer.send()
            await until(lambda: made[0].lost)
            assert made[0].data == b""
            error = made[0].lost[0]
            assert isinstance(error, ssl.SSLError)
            assert error.library == "SSL"
            assert error.reason in {
                "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
                "RECORD_LAYER_FAILURE",
                "SSLV3_ALERT_BAD_RECORD_MAC",
            }
            peer.close()

    run(main())


def test_garbage_after_good_data(run_native: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            peer = ByHand(contexts, plain(address), server_side=False)
            await peer.handshake()
            peer.tls.write(b"good")
            peer.outgoing.write(b"\x17\x03\x03\x00\x20" + bytes(32))
            await peer.send()
            await until(lambda: made[0].lost)
            assert made[0].data == b"good"
            assert isinstance(made[0].lost[0], ssl.SSLError)
            peer.close()

    run_native(main())


def test_a_reset_in_the_middle_of_a_large_write(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            peer = ByHand(contexts, plain(address), server_side=False)
            await peer.handshake()
            await until(lambda: made and made[0].calls)
            made[0].transport.write(b"r" * 20_000_000)
            linger = struct.pack("ii", 1, 0)
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            peer.close()
            await until(lambda: made[0].lost)
            assert isinstance(made[0].lost[0], ConnectionError)
            assert made[0].transport.is_closing()

    run(main())


def test_a_peer_that_answers_no_close_notify(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder, ssl_shutdown_timeout=0.1) as (address, made):
            peer = ByHand(contexts, plain(address), server_side=False)
            await peer.handshake()
            await until(lambda: made and made[0].calls)
            made[0].transport.close()
            await until(lambda: made[0].lost)
            assert isinstance(made[0].lost[0], TimeoutError)
            assert str(made[0].lost[0]) == "SSL shutdown timed out"
            peer.close()

    run(main())


def test_aborting_while_data_is_delivered(run: Run, contexts: Contexts) -> None:
    class Aborting(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.abort()

    async def main() -> None:
        async with serving(contexts, Aborting) as (address, made):
            client = await connect(contexts, Recorder, address)
            client.transport.write(b"go")
            await until(lambda: client.lost and made[0].lost)
            assert made[0].data == b"go"

    run(main())


def test_closing_in_connection_made(run: Run, contexts: Contexts) -> None:
    class Closing(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.write(b"bye")
            self.transport.close()

    async def main() -> None:
        async with serving(contexts, Closing) as (address, made):
            client = await connect(contexts, Recorder, address)
            await until(lambda: client.lost and made[0].lost)
            assert client.data == b"bye"
            assert client.lost == made[0].lost == [None]

    run(main())


def test_an_error_of_connection_made(run: Run, contexts: Contexts) -> None:
    class Failing(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise ZeroDivisionError

    async def main() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, it: reported.append(it))
        async with serving(contexts, Recorder) as (address, _):
            with pytest.raises(ZeroDivisionError):
                await connect(contexts, Failing, address)
        messages = [context["message"] for context in reported]
        assert messages == ["Fatal error: protocol.buffer_updated() call failed."]

    run(main())


def test_many_connections_that_fail(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            for number in range(30):
                with plain(address) as sock:
                    sock.sendall(bytes([22, 3, 1, 0, number]) * number)
            await until(lambda: len(made) == 30)
            assert all(protocol.calls == [] for protocol in made)

    run(main())
