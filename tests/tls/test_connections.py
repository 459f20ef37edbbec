"""Connections with TLS: what is told to protocols, extra information, data of all sizes, the end."""

import asyncio
import gc
import logging
import ssl
import warnings
from typing import Any

import ouroloop
import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import HOST, Run, until
from tests.support.protocols import Echo, Recorder

from .peers import Refilling, connect, serving


def test_what_is_written_comes_back(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, made):
            client = await connect(contexts, Recorder, address)
            client.transport.write(b"hello")
            client.transport.writelines([b", ", bytearray(b"wor"), memoryview(b"ld")])
            await until(lambda: client.data == b"hello, world")
            client.transport.close()
            await until(lambda: made[0].calls[-1] == "lost")
            await until(lambda: client.calls[-1] == "lost")
            assert client.calls == ["made", "eof", "lost"]
            assert made[0].calls == ["made", "eof", "lost"]
            assert client.lost == made[0].lost == [None]

    run(main())


@pytest.mark.parametrize("size", [1, 16_383, 16_384, 16_385, 100_000, 3_000_000])
def test_data_of_any_size_arrives_whole(run: Run, contexts: Contexts, size: int) -> None:
    async def main() -> None:
        data = bytes(range(256)) * (size // 256 + 1)
        data = data[:size]
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            client.transport.write(data)
            await until(lambda: len(client.data) >= size)
            assert client.data == data
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


def test_many_small_writes_of_a_turn_share_records(run_native: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            client = await connect(contexts, Recorder, address)
            pieces = [b"%d;" % number for number in range(1000)]
            for piece in pieces:
                client.transport.write(piece)
            await until(lambda: made and made[0].data == b"".join(pieces))
            assert len(made[0].chunks) < 10
            client.transport.close()
            await until(lambda: client.lost)

    run_native(main())


def test_extra_information(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        context = contexts.client()
        async with serving(contexts, Echo) as (address, made):
            client = await connect(contexts, Recorder, address, ssl=context)
            info = client.transport.get_extra_info
            assert info("sslcontext") is context
            assert info("ssl_object").server_hostname == NAME
            assert ("DNS", NAME) in info("peercert")["subjectAltName"]
            assert info("cipher") == info("ssl_object").cipher()
            assert info("compression") is None
            assert info("peername") == address
            assert info("sockname") == info("socket").getsockname()
            assert info("nothing of the kind") is None
            assert info("nothing of the kind", 1) == 1
            await until(lambda: made and made[0].calls)
            server_info = made[0].transport.get_extra_info
            assert server_info("peername") == info("sockname")
            assert server_info("ssl_object").server_side
            client.transport.close()
            await until(lambda: client.lost)
            assert info("sslcontext") is context
            assert info("peername", "gone") == "gone"

    run(main())


def test_alpn_and_server_names_are_the_contexts_business(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        asked = []
        server_context = contexts.server()
        server_context.set_alpn_protocols(["h2", "http/1.1"])
        server_context.sni_callback = lambda tls, name, context: asked.append((name, context))
        client_context = contexts.client()
        client_context.set_alpn_protocols(["http/1.1"])
        async with serving(contexts, Echo, ssl=server_context) as (address, _):
            client = await connect(contexts, Recorder, address, ssl=client_context)
            tls = client.transport.get_extra_info("ssl_object")
            assert tls.selected_alpn_protocol() == "http/1.1"
            assert asked == [(NAME, server_context)]
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


def test_client_certificates(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        server_context = contexts.server()
        server_context.verify_mode = ssl.CERT_REQUIRED
        contexts.authority.configure_trust(server_context)
        client_context = contexts.client()
        contexts.authority.issue_cert("client.example").configure_cert(client_context)
        async with serving(contexts, Echo, ssl=server_context) as (address, made):
            client = await connect(contexts, Recorder, address, ssl=client_context)
            await until(lambda: made and made[0].calls)
            peercert = made[0].transport.get_extra_info("peercert")
            assert ("DNS", "client.example") in peercert["subjectAltName"]
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


def test_tls_1_2_and_its_sessions(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        context = contexts.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address, ssl=context)
            assert client.transport.get_extra_info("ssl_object").version() == "TLSv1.2"
            client.transport.write(b"x" * 50_000)
            await until(lambda: len(client.data) == 50_000)
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


def test_a_certificate_that_is_not_trusted(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, made):
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(contexts, Recorder, address, ssl=ssl.create_default_context())
            with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
                await connect(contexts, Recorder, address, server_hostname="other.example")
            await until(lambda: len(made) == 2)
            assert [protocol.calls for protocol in made] == [[], []]

    run(main())


def test_ssl_true_is_the_default_context(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(contexts, Recorder, address, ssl=True)

    run(main())


def test_arguments_that_do_not_fit(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = contexts.client()
        cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
            (ValueError, "server_hostname is only meaningful with ssl", {"server_hostname": "x"}),
            (
                ValueError,
                "ssl_handshake_timeout is only meaningful with ssl",
                {"ssl_handshake_timeout": 1},
            ),
            (
                ValueError,
                "ssl_shutdown_timeout is only meaningful with ssl",
                {"ssl_shutdown_timeout": 1},
            ),
        ]
        for error, message, options in cases:
            with pytest.raises(error, match=message):
                await loop.create_connection(Recorder, HOST, 1, **options)
        with pytest.raises(ValueError, match="You must set server_hostname when using ssl"):
            await loop.create_connection(Recorder, "", 1, ssl=context)
        with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
            await loop.create_server(Recorder, HOST, 0, ssl=True)
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful"):
            await loop.create_server(Recorder, HOST, 0, ssl_handshake_timeout=1)

    run(main())


def test_timeouts_that_are_none(run_native: Run, contexts: Contexts) -> None:
    """Stock asyncio leaves the socket to the garbage collector."""

    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout"):
                message = f"{name} should be a positive number, got -1"
                with pytest.raises(ValueError, match=message):
                    await connect(contexts, Recorder, address, **{name: -1})

    run_native(main())


def test_what_the_transport_is(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            transport = client.transport
            assert isinstance(transport, asyncio.Transport)
            assert isinstance(transport, asyncio.sslproto._SSLProtocolTransport)
            assert "_SSLProtocolTransport object at" in repr(transport)
            assert isinstance(transport._ssl_protocol, asyncio.sslproto.SSLProtocol)
            assert transport._ssl_protocol._app_transport is transport
            assert transport._ssl_protocol._app_protocol is client
            assert transport._start_tls_compatible
            assert transport._sendfile_compatible is asyncio.constants._SendfileMode.FALLBACK
            assert transport.get_protocol() is client
            assert transport.is_reading()
            assert not transport.is_closing()
            assert not transport.can_write_eof()
            with pytest.raises(NotImplementedError):
                transport.write_eof()
            with pytest.raises(TypeError, match="data: expecting a bytes-like instance, got str"):
                transport.write("text")  # type: ignore[arg-type]
            assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
            transport.set_write_buffer_limits(high=100)
            assert transport.get_write_buffer_limits() == (25, 100)
            with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
                transport.set_write_buffer_limits(high=1, low=2)
            transport.close()
            assert transport.is_closing()
            transport.close()
            await until(lambda: client.lost)

    run(main())


def test_a_new_protocol(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            client.transport.write(b"one")
            await until(lambda: client.data == b"one")
            second = Refilling()
            client.transport.set_protocol(second)
            client.transport.write(b"two")
            await until(lambda: second.data == b"two")
            client.transport.close()
            await until(lambda: second.lost)
            assert client.calls == ["made"]

    run(main())


def test_writes_after_close_are_lost_and_in_the_end_logged(
    run: Run, contexts: Contexts, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, made):
            client = await connect(contexts, Recorder, address)
            client.transport.write(b"before")
            client.transport.close()
            for _ in range(6):
                client.transport.write(b"after")
            await until(lambda: client.lost)
            assert made[0].data == b"before"

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())
    assert [record.getMessage() for record in caplog.records] == ["SSL connection is closed"]


def test_true_from_eof_received_is_warned_of(
    run: Run, contexts: Contexts, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn(Recorder):
        def eof_received(self) -> bool:
            super().eof_received()
            return True

    async def main() -> None:
        async with serving(contexts, Stubborn) as (address, made):
            client = await connect(contexts, Recorder, address)
            await until(lambda: made and made[0].calls)
            client.transport.close()
            await until(lambda: made[0].lost)
            assert made[0].calls == ["made", "eof", "lost"]
            await until(lambda: client.lost)

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "returning true from eof_received() has no effect when using ssl"
    ]


def test_what_is_written_before_abort_leaves(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            client = await connect(contexts, Recorder, address)
            await until(lambda: made and made[0].calls)
            client.transport.write(b"last words")
            client.transport.abort()
            await until(lambda: client.lost and made[0].lost)
            assert made[0].data == b"last words"
            assert client.lost == [None]

    run(main())


def test_an_error_of_data_received_ends_the_connection(run: Run, contexts: Contexts) -> None:
    class Failing(Recorder):
        def data_received(self, _data: bytes) -> None:
            self.transport.write(b"so far")
            raise ZeroDivisionError

    async def main() -> None:
        reported: list[dict[str, Any]] = []
        async with serving(contexts, Failing) as (address, made):
            client = await connect(contexts, Recorder, address)
            asyncio.get_running_loop().set_exception_handler(lambda _, it: reported.append(it))
            client.transport.write(b"x")
            await until(lambda: client.lost and made[0].lost)
            assert client.data == b"so far"
        assert [context["message"] for context in reported] == ["Fatal error on SSL protocol"]
        assert isinstance(reported[0]["exception"], ZeroDivisionError)
        assert isinstance(made[0].lost[0], ZeroDivisionError)

    run(main())


@pytest.mark.parametrize("end", ["raise", "abort"])
def test_what_was_written_before_an_end_has_left(run: Run, contexts: Contexts, end: str) -> None:
    """Of a connection whose callbacks write twice, so that the first write waits for the second."""

    class Ending(Recorder):
        times = 0

        def data_received(self, _data: bytes) -> None:
            self.times += 1
            self.transport.write(b"a")
            if self.times <= 20:
                self.transport.write(b"b")
            elif end == "abort":
                self.transport.abort()
            else:
                raise ZeroDivisionError

    async def main() -> None:
        async with serving(contexts, Ending) as (address, made):
            client = await connect(contexts, Recorder, address)
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            for times in range(1, 21):
                client.transport.write(b"x")
                await until(lambda times=times: len(client.data) == 2 * times)  # type: ignore[misc]
            client.transport.write(b"x")
            await until(lambda: client.lost and made[0].lost)
            assert client.data == b"ab" * 20 + b"a"

    run(main())


def test_streams(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0, ssl=contexts.server())
        async with server:
            reader, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname(), ssl=contexts.client(), server_hostname=NAME
            )
            for _ in range(20):
                writer.write(b"line\n")
            await writer.drain()
            for _ in range(20):
                assert await reader.readline() == b"LINE\n"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_transport_that_nobody_closed_is_warned_of(run: Run, contexts: Contexts) -> None:
    async def connect_only() -> Any:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            held = client.transport
            # As if the loop had never heard of it: what it keeps goes with the connection.
            client.transport = None
            lower = held._ssl_protocol._transport
            lower.abort()
            await until(lambda: client.lost)
            return held

    # Lost connections are closed.
    held = run(connect_only())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del held
        gc.collect()


def test_which_engine_is_in_use() -> None:
    assert ouroloop.tls_engine() in {"libssl", "_ssl"}
