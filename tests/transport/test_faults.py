"""Peers that misbehave, and a process that runs out of descriptors."""

import asyncio
import errno
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.loops import FACTORIES, HOST, Run, turns, until
from tests.support.protocols import Echo, HalfOpen, Recorder

from .peers import connected, gone, pattern, read_all, reports, reset


def test_reset_in_mid_write(run: Run) -> None:
    protocol = Recorder()
    data = pattern(20_000_000)

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            transport.write(data)

            def reads_some() -> int:
                count = 0
                while count < 1_000_000:
                    received = peer.recv(65536)
                    assert received == data[count : count + len(received)]
                    count += len(received)
                reset(peer)
                return count

            await asyncio.to_thread(reads_some)
            await gone(transport)
            assert transport.get_write_buffer_size() == 0

    run(main())
    (error,) = protocol.lost
    assert isinstance(error, (ConnectionResetError, BrokenPipeError))
    # A protocol that was paused is not resumed by the end: there is nothing to go on with.
    assert protocol.calls[:2] == ["made", "pause"]
    assert protocol.calls[-1] == "lost"


def test_an_end_that_a_reset_peer_will_not_read(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            transport.pause_reading()
            reset(peer)
            with pytest.raises(OSError, match="not connected") as caught:
                transport.write_eof()
            assert caught.value.errno == errno.ENOTCONN
            transport.write_eof()
            transport.resume_reading()
            await gone(transport)

    run(main())
    (error,) = protocol.lost
    assert isinstance(error, ConnectionResetError)


def test_a_peer_that_never_reads_and_aborts(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            for _ in range(20):
                transport.write(bytes(50_000))
                await turns()
            assert protocol.calls == ["made", "pause"]
            reset(peer)
            await until(lambda: protocol.lost)

    run(main())
    assert protocol.calls == ["made", "pause", "lost"]


def test_a_peer_that_never_reads_is_aborted(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            transport.write(pattern(1_000_000))
            transport.close()
            await turns(20)
            # Closing waits for the peer; aborting does not.
            assert protocol.lost == []
            transport.abort()
            await turns(2)
            assert protocol.lost == [None]
            received = await read_all(peer)
            assert len(received) < 1_000_000
            assert pattern(1_000_000).startswith(received)

    run(main())


def test_a_peer_that_ends_its_half_first(run: Run) -> None:
    """Requests are finished by the peer's end, answers come after."""
    protocol = HalfOpen()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            peer.sendall(b"request")
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in protocol.calls)
            for number in range(100):
                transport.write(b"%d " % number)
                await asyncio.sleep(0)
            transport.write_eof()
            expected = b"".join(b"%d " % number for number in range(100))
            assert await read_all(peer) == expected
            assert not transport.is_closing()

    run(main())
    assert protocol.data == b"request"


def test_both_ends_are_ended_without_close(run: Run) -> None:
    near, far = HalfOpen(), HalfOpen()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: far, HOST, 0)
        address = server.sockets[0].getsockname()
        transport, _ = await loop.create_connection(lambda: near, *address)
        transport.write(b"from near")
        transport.write_eof()
        await until(lambda: "eof" in far.calls)
        far.transport.write(b"from far")
        far.transport.write_eof()
        await until(lambda: "eof" in near.calls)
        await turns(20)
        assert near.lost == far.lost == []
        transport.close()
        far.transport.close()
        await gone(transport)
        await gone(far.transport)
        server.close()

    run(main())
    assert (near.data, far.data) == (b"from far", b"from near")
    assert near.lost == far.lost == [None]


def test_echo_of_much_in_both_directions(run: Run) -> None:
    """Both sides write more than the kernel holds before they read: nobody may block."""
    data = pattern(8_000_000)

    class Client(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.write(data)
            self.transport.write_eof()

    class Server(Echo):
        def eof_received(self) -> bool | None:
            super().eof_received()
            self.transport.close()
            return True

    client = Client()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, HOST, 0)
        address = server.sockets[0].getsockname()
        transport, _ = await loop.create_connection(lambda: client, *address)
        await gone(transport)
        server.close()
        await server.wait_closed()

    run(main())
    assert client.data == data
    assert client.lost == [None]


RunPython = Callable[..., subprocess.CompletedProcess[str]]

STARVED = """
import asyncio, resource, socket, sys
{factory}

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

async def talk(reader, writer, word):
    writer.write(word)
    assert await asyncio.wait_for(reader.readexactly(len(word)), 10) == word

async def main():
    loop = asyncio.get_running_loop()
    said = []
    loop.set_exception_handler(lambda _, context: said.append(context))
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=100)
    address = server.sockets[0].getsockname()
    known = [await asyncio.open_connection(*address) for _ in range(5)]
    for number, (reader, writer) in enumerate(known):
        await talk(reader, writer, b"known %d" % number)

    # Clients that connect while the process has no number left for the server's side.
    waiting = [socket.socket() for _ in range(20)]
    fillers = []
    limit = max(each.fileno() for each in waiting) + 10
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    try:
        while True:
            fillers.append(open("/dev/null"))
    except OSError:
        pass
    for each in waiting:
        each.connect(address)
    while not said:
        await asyncio.sleep(0.001)
    assert said[0]["message"] == "socket.accept() out of system resource", said
    assert said[0]["exception"].errno == 24, said
    # Who is connected does not notice.
    for number, (reader, writer) in enumerate(known):
        await talk(reader, writer, b"still %d" % number)
    # The server pauses instead of complaining in each turn.
    assert len(said) <= {complaints}, len(said)
    for each in fillers:
        each.close()
    for number, each in enumerate(waiting):
        each.setblocking(False)
        each.send(b"late %d" % number)
    async def answer(each, word):
        got = b""
        deadline = loop.time() + 20
        while got != word:
            assert loop.time() < deadline, (got, word)
            try:
                data = each.recv(100)
                assert data, "somebody was lost"
                got += data
            except BlockingIOError:
                await asyncio.sleep(0.005)
        each.close()
    # As many as there are numbers left for are served; each that ends makes room for another.
    await asyncio.gather(*(answer(each, b"late %d" % n) for n, each in enumerate(waiting)))
    for number, (reader, writer) in enumerate(known):
        await talk(reader, writer, b"after %d" % number)
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()
    print("served")

runner(main())
"""
LOOPS = {
    "asyncio": "runner = asyncio.run",
    "ouroloop": "import ouroloop\nrunner = ouroloop.run",
}
# Stock asyncio complains once for each place of the backlog.
COMPLAINTS = {"asyncio": "200", "ouroloop": "2"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTORIES)
def test_without_descriptors_nobody_is_lost(run_python: RunPython, name: str) -> None:
    program = STARVED.replace("{factory}", LOOPS[name])
    program = program.replace("{complaints}", COMPLAINTS[name])
    done = run_python("-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "served\n", "")


WORD = pattern(100_003)


class Slow(Recorder):
    """A server's side that always has something to write."""

    made: list["Slow"]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.made.append(self)
        self.feed()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.feed()

    def feed(self) -> None:
        while not self.transport.is_closing() and self.calls[-1] != "pause":
            self.transport.write(WORD)


def identity(protocol: Recorder) -> Recorder:
    return protocol


@pytest.mark.parametrize("method", ["close", "close_clients", "abort_clients"])
def test_a_server_ends_while_everybody_writes(run: Run, method: str) -> None:
    if method != "close" and sys.version_info < (3, 13):
        pytest.skip("new in Python 3.13")
    Slow.made = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        contexts = reports()
        server = await loop.create_server(Slow, HOST, 0)
        address = server.sockets[0].getsockname()
        clients: list[Recorder] = []
        transports: list[Any] = []
        for _ in range(5):
            client = Recorder()
            transport, _ = await loop.create_connection(partial(identity, client), *address)
            if method != "close_clients":
                # To close with bytes unread is a reset, which may cost the peer what is under way.
                transport.write(bytes(10_000_000))
            clients.append(client)
            transports.append(transport)
        await until(lambda: all(client.data for client in clients))
        server.close()
        getattr(server, method)()
        if method == "close":
            # The connections outlive their listener.
            before = [len(client.data) for client in clients]
            await until(
                lambda: all(
                    len(client.data) > count for client, count in zip(clients, before, strict=True)
                )
            )
            assert not any(each.lost for each in Slow.made)
            for each in Slow.made:
                each.transport.abort()
        await asyncio.wait_for(server.wait_closed(), 10)
        for transport in transports:
            await gone(transport)
        assert [each.lost for each in Slow.made] == [[None]] * 5
        for client in clients:
            # Nothing was lost from the middle.
            rounds, rest = divmod(len(client.data), len(WORD))
            assert (WORD * (rounds + 1)).startswith(client.data)
            # Closing lets what waits leave, aborting does not.
            assert rest == 0 or method != "close_clients"
        assert contexts == []

    run(main())
