"""``start_tls``: on plain connections, on TLS, under streams and protocols of every kind."""

import asyncio
import contextlib
import re
import ssl
from typing import Any

import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import HOST, Run, until
from tests.support.protocols import Echo, Recorder

from .peers import Refilling, connect, serving


class Upgrading(Recorder):
    """A server that answers STARTTLS and then is another protocol."""

    def __init__(self, contexts: Contexts, successor: Any) -> None:
        super().__init__()
        self.contexts = contexts
        self.successor = successor
        self.task: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(b"GO AHEAD\n")
        self.task = asyncio.ensure_future(self.upgrade())

    async def upgrade(self) -> None:
        loop = asyncio.get_running_loop()
        context = self.contexts.server()
        transport = await loop.start_tls(self.transport, self.successor, context, server_side=True)
        assert transport is not None
        self.successor.transport = transport


@pytest.mark.parametrize("kind", [Recorder, Refilling])
def test_a_plain_connection_becomes_tls(run: Run, contexts: Contexts, kind: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        successor = kind()
        server_protocol = Upgrading(contexts, successor)
        server = await loop.create_server(lambda: server_protocol, HOST, 0)
        async with server:
            transport, first = await loop.create_connection(
                Recorder, *server.sockets[0].getsockname()
            )
            transport.write(b"STARTTLS\n")
            await until(lambda: first.data == b"GO AHEAD\n")
            client = Recorder()
            upgraded = await loop.start_tls(
                transport, client, contexts.client(), server_hostname=NAME
            )
            assert upgraded is not None
            assert upgraded.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert upgraded._ssl_protocol._transport is transport
            upgraded.write(b"secret")
            await until(lambda: successor.data == b"secret")
            assert server_protocol.task is not None
            await server_protocol.task
            successor.transport.write(b"answer")
            await until(lambda: client.data == b"answer")
            upgraded.close()
            await until(lambda: client.lost and successor.lost)
            assert client.calls == ["eof", "lost"]
            assert successor.calls == ["eof", "lost"]
            assert first.lost == []

    run(main())


def test_streams_with_the_handshake_already_buffered(run_native: Run, contexts: Contexts) -> None:
    """A client that does not wait for the answer: its first words come with the request."""

    async def main() -> None:
        served = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"STARTTLS\n"
            # The client's first words have come with the line, or come now.
            while not reader._buffer:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            await writer.start_tls(contexts.server())
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            # The client goes without a farewell, and may not have read this side's.
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            served.set()

        server = await asyncio.start_server(serve, HOST, 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = contexts.client().wrap_bio(incoming, outgoing, server_hostname=NAME)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            writer.write(b"STARTTLS\n" + outgoing.read())
            while True:
                incoming.write(await reader.read(100_000))
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                break
            tls.write(b"echo\n")
            writer.write(outgoing.read())
            answer = b""
            while answer != b"echo\n":
                incoming.write(await reader.read(100_000))
                try:
                    answer += tls.read(100)
                except ssl.SSLWantReadError:
                    continue
            writer.close()
            await writer.wait_closed()
            await served.wait()

    run_native(main())


def test_streams_on_both_sides(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"GO\n")
            await writer.drain()
            await writer.start_tls(contexts.server())
            while data := await reader.read(1000):
                writer.write(data)
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"GO\n"
            await writer.start_tls(contexts.client(), server_hostname=NAME)
            writer.write(b"0123456789" * 1000)
            assert await reader.readexactly(10_000) == b"0123456789" * 1000
            writer.close()
            await writer.wait_closed()

    run(main())


def test_tls_in_tls(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        inner_server = Recorder()
        tasks = []

        class Proxy(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                tasks.append(asyncio.ensure_future(self.upgrade()))

            async def upgrade(self) -> None:
                inner_server.transport = await loop.start_tls(
                    self.transport, inner_server, contexts.server(), server_side=True
                )

        async with serving(contexts, Proxy) as (address, made):
            outer = await connect(contexts, Recorder, address)
            client = Recorder()
            transport = await loop.start_tls(
                outer.transport, client, contexts.client(), server_hostname=NAME
            )
            assert transport.get_extra_info("peername") == address
            transport.write(b"twice wrapped" * 10_000)
            await tasks[0]
            await until(lambda: len(inner_server.data) == 130_000)
            assert inner_server.data == b"twice wrapped" * 10_000
            inner_server.transport.write(b"back")
            await until(lambda: client.data == b"back")
            transport.close()
            await until(lambda: client.lost and inner_server.lost)
            assert client.calls == ["eof", "lost"]
            made[0].calls.append("lost")

    run(main())


def test_what_the_old_protocol_wrote_leaves_first(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        successor = Echo()
        server_protocol = Upgrading(contexts, successor)
        server = await loop.create_server(lambda: server_protocol, HOST, 0)
        async with server:
            transport, first = await loop.create_connection(
                Recorder, *server.sockets[0].getsockname()
            )
            transport.write(b"STARTTLS\n")
            client = Recorder()
            await until(lambda: first.data)
            upgrading = asyncio.ensure_future(
                loop.start_tls(transport, client, contexts.client(), server_hostname=NAME)
            )
            upgraded = await upgrading
            assert server_protocol.data == b"STARTTLS\n"
            upgraded.abort()
            await until(lambda: client.lost and successor.lost)

    run(main())


def test_arguments_that_do_not_fit(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            message = "sslcontext is expected to be an instance of ssl.SSLContext, got None"
            with pytest.raises(TypeError, match=message):
                await loop.start_tls(client.transport, client, None)  # type: ignore[arg-type]
            message = re.escape("transport None is not supported by start_tls()")
            with pytest.raises(TypeError, match=message):
                await loop.start_tls(None, client, contexts.client())  # type: ignore[arg-type]
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_connection_that_ends_first_has_no_transport(
    run_native: Run, contexts: Contexts, how: str
) -> None:
    """As on stock asyncio since Python 3.12; before it waits for ever."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, HOST, 0)
        transport, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        getattr(transport, how)()
        upgrade = loop.start_tls(transport, client, contexts.client(), server_hostname=NAME)
        assert await upgrade is None
        server.close()
        await server.wait_closed()

    run_native(main())


def test_an_upgrade_that_is_cancelled(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server_protocols: list[Recorder] = []

        def factory() -> Recorder:
            server_protocols.append(Recorder())
            return server_protocols[-1]

        server = await loop.create_server(factory, HOST, 0)
        async with server:
            transport, _ = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
            client = Recorder()
            upgrading = asyncio.ensure_future(
                loop.start_tls(transport, client, contexts.client(), server_hostname=NAME)
            )
            await until(lambda: server_protocols and server_protocols[0].data)
            upgrading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upgrading
            await until(lambda: server_protocols[0].lost)
            assert transport.is_closing()

    run(main())
