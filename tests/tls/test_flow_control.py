"""Pausing and resuming, both ways."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from tests.support.certificates import Contexts
from tests.support.loops import Run, turns, until
from tests.support.protocols import Echo, Recorder

from .peers import ByHand, Refilling, accepted, connect, listening, serving


def test_nothing_is_received_while_reading_is_paused(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            client = await connect(contexts, Recorder, address)
            await until(lambda: made and made[0].calls)
            server = made[0].transport
            client.transport.pause_reading()
            assert not client.transport.is_reading()
            server.write(b"x" * 100_000)
            buffered = client.transport.get_read_buffer_size
            await until(lambda: buffered() > 100_000)
            assert client.data == b""
            client.transport.resume_reading()
            client.transport.resume_reading()
            assert client.transport.is_reading()
            await until(lambda: len(client.data) == 100_000)
            assert buffered() == 0
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


@contextlib.asynccontextmanager
async def reader_that_pauses(contexts: Contexts) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """Connect a client to a server that has paused reading; the client is closed after the block."""
    async with serving(contexts, Recorder) as (address, made):
        client = await connect(contexts, Recorder, address)
        await until(lambda: made and made[0].calls)
        made[0].transport.pause_reading()
        yield client, made[0]
        client.transport.close()
        await until(lambda: client.lost)


def test_a_paused_reader_holds_the_sender_up(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        size = 20_000_000
        async with reader_that_pauses(contexts) as (client, reader):
            client.transport.write(b"y" * (size - 1_000_000))
            client.transport.write(b"y" * 1_000_000)
            assert client.calls == ["made", "pause"]
            assert client.transport.get_write_buffer_size() > 512 * 1024
            lower = reader.transport._ssl_protocol._transport
            await until(lambda: not lower.is_reading())
            reader.transport.resume_reading()
            await until(lambda: sum(map(len, reader.chunks)) == size)
            await until(lambda: client.calls[-1] == "resume")
            assert client.transport.get_write_buffer_size() == 0

    run(main())


def test_one_write_holds_nobody_up(run: Run, contexts: Contexts) -> None:
    """Two peers that both write much, drain, and then read depend on it."""

    async def main() -> None:
        size = 20_000_000
        async with reader_that_pauses(contexts) as (client, reader):
            client.transport.write(b"y" * size)
            assert client.transport.get_write_buffer_size() == 0
            await turns()
            assert client.calls == ["made"]
            client.transport.write(b"y" * 500_000)
            assert client.calls == ["made"]
            client.transport.write(b"y" * 500_000)
            assert client.calls == ["made", "pause"]
            reader.transport.resume_reading()
            await until(lambda: sum(map(len, reader.chunks)) == size + 1_000_000)
            assert client.calls == ["made", "pause", "resume"]

    run(main())


def test_a_buffered_protocol_that_pauses_each_time(run: Run, contexts: Contexts) -> None:
    class Sipping(Refilling):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def main() -> None:
        async with serving(contexts, lambda: Sipping(5000)) as (address, made):
            client = await connect(contexts, Recorder, address)
            client.transport.write(b"0123456789" * 10_000)
            await until(lambda: made and len(made[0].data) == 100_000)
            assert made[0].data == b"0123456789" * 10_000
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


def test_a_peer_that_never_reads_and_a_closing_connection(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        with listening() as sock:
            connecting = asyncio.ensure_future(
                connect(contexts, Recorder, sock.getsockname(), ssl_shutdown_timeout=0.2)
            )
            peer = ByHand(contexts, await accepted(sock), server_side=True)
            await peer.handshake()
            client = await connecting
            client.transport.write(b"z" * 30_000_000)
            client.transport.write(b"z" * 1_000_000)
            assert client.calls == ["made", "pause"]
            client.transport.close()
            await until(lambda: client.lost)
            assert isinstance(client.lost[0], TimeoutError)
            assert str(client.lost[0]) == "SSL shutdown timed out"
            peer.close()

    run(main())


def test_the_data_of_a_closing_writer_arrives(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        size = 5_000_000
        async with serving(contexts, Recorder) as (address, made):
            client = await connect(contexts, Recorder, address)
            sock: socket.socket = client.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
            client.transport.write(b"w" * size)
            client.transport.close()
            await until(lambda: client.lost)
            assert client.lost == [None]
            await until(lambda: sum(map(len, made[0].chunks)) == size)

    run(main())


def test_an_echo_under_load(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            clients = [await connect(contexts, Recorder, address) for _ in range(10)]
            for number in range(50):
                for client in clients:
                    client.transport.write(b"%d" % (number % 10) * 3000)
            for client in clients:
                await until(lambda: sum(map(len, client.chunks)) == 150_000)  # noqa: B023
                assert client.data == b"".join(b"%d" % (n % 10) * 3000 for n in range(50))
                client.transport.close()
                await until(lambda: client.lost)  # noqa: B023

    run(main())
