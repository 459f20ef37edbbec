"""Every descriptor is closed once, by its owner, and by nobody else."""

import asyncio
import contextlib
import gc
import os
import random
import socket
import struct
from pathlib import Path

import pytest

from tests.support.descriptors import open_descriptors
from tests.support.loops import HOST, Run, turns, until
from tests.support.protocols import Echo, Recorder

from .peers import attach, connected, gone, nothing_to_read, read_all, reset, tcp_pair


def is_open(fd: int) -> bool:
    return fd in open_descriptors()


def test_the_given_socket_is_closed_with_the_transport(run: Run) -> None:
    async def main() -> None:
        near, peer = tcp_pair()
        fd = near.fileno()
        transport = await attach(near, Recorder())
        assert transport.get_extra_info("socket").fileno() == fd
        transport.close()
        await gone(transport)
        assert near.fileno() == -1
        assert not is_open(fd)
        assert await read_all(peer) == b""
        # Closing it again is as harmless as ever.
        near.close()
        peer.close()

    run(main())


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_socket_asked_for_after_the_end_is_of_the_same_kind(run: Run, kind: str) -> None:
    async def main() -> None:
        near, peer = tcp_pair() if kind == "tcp" else socket.socketpair()
        with peer:
            expected = (near.family, near.type, near.proto, -1)
            transport = await attach(near, Recorder())
            transport.abort()
            await gone(transport)
            left = transport.get_extra_info("socket")
            assert (left.family, left.type, left.proto, left.fileno()) == expected

    run(main())


def test_the_owner_closes_its_socket_while_the_transport_lives(run_native: Run) -> None:
    """Under stock asyncio the transport would go on with a number that is anybody's."""
    protocol = Echo()

    async def main() -> None:
        near, peer = tcp_pair()
        fd = near.fileno()
        transport = await attach(near, protocol)
        near.close()
        assert is_open(fd)
        peer.sendall(b"still there?")
        assert (await asyncio.to_thread(peer.recv, 100)) == b"still there?"
        transport.close()
        await gone(transport)
        assert not is_open(fd)
        assert await read_all(peer) == b""
        peer.close()

    run_native(main())
    assert protocol.lost == [None]


def test_the_owner_takes_its_socket_away(run_native: Run, tmp_path: Path) -> None:
    """A number that ``detach`` gave back to the user is not ours to close."""

    async def main() -> None:
        near, peer = tcp_pair()
        transport = await attach(near, Recorder())
        fd = near.detach()
        transport.close()
        await gone(transport)
        assert is_open(fd)
        os.close(fd)
        assert await read_all(peer) == b""
        peer.close()

    run_native(main())


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("end", ["close", "abort", "peer", "reset"])
def test_a_number_in_other_hands_is_left_alone(
    run: Run, tmp_path: Path, end: str, *, asked: bool
) -> None:
    async def main() -> None:
        near, peer = tcp_pair()
        fd = near.fileno()
        transport = await attach(near, Recorder())
        del near
        sock = transport.get_extra_info("socket") if asked else None
        if end in {"close", "abort"}:
            getattr(transport, end)()
        elif end == "peer":
            peer.close()
        else:
            reset(peer)
        await gone(transport)
        assert not is_open(fd)
        # The number's next owner.
        file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        if file != fd:
            os.dup2(file, fd)
            os.close(file)
        os.write(fd, b"one")
        transport.close()
        transport.abort()
        transport.pause_reading()
        transport.resume_reading()
        transport.write(b"lost")
        transport.get_extra_info("socket")
        await turns()
        del transport, sock
        gc.collect()
        await turns()
        os.write(fd, b"two")
        os.close(fd)
        assert (tmp_path / "file").read_bytes() == b"onetwo"
        peer.close()

    run(main())


def test_a_number_can_be_watched_again_after_the_end(run: Run) -> None:
    """No watch of the transport's is left on a number that a user watches next."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with connected(Recorder()) as (transport, _):
            readable, writable = os.pipe()
            fd = transport.get_extra_info("socket").fileno()
            with pytest.raises(RuntimeError, match=f"File descriptor {fd} is used by transport"):
                loop.add_reader(fd, print)
            transport.close()
            await gone(transport)
            assert not is_open(fd)
            os.dup2(readable, fd)
            fired: list[int] = []
            loop.add_reader(fd, fired.append, 1)
            os.write(writable, b"x")
            await until(lambda: fired)
            assert loop.remove_reader(fd)
            for each in (readable, writable, fd):
                os.close(each)

    run(main())


def test_a_forgotten_transport_holds_no_number(run: Run) -> None:
    """Other transports may stand in its memory by then; its number is the user's."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        readable, writable = os.pipe()
        near, first = tcp_pair()
        fd = near.fileno()
        transport = await attach(near, Recorder())
        transport.close()
        await gone(transport)
        del near, transport
        gc.collect()
        os.dup2(readable, fd)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(connected(Recorder()))
            fired: list[int] = []
            loop.add_reader(fd, fired.append, 1)
            os.write(writable, b"x")
            await until(lambda: fired)
            assert loop.remove_reader(fd)
        first.close()
        for each in (readable, writable, fd):
            os.close(each)

    run(main())


def test_the_socket_after_close(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, _):
            sock = transport.get_extra_info("socket")
            fd = sock.fileno()
            transport.close()
            await gone(transport)
            other = os.open("/dev/null", os.O_RDONLY)
            assert sock.fileno() == -1
            for call in (sock.getpeername, sock.getsockname, sock.dup):
                with pytest.raises(OSError, match="Bad file descriptor"):
                    call()
            with pytest.raises(OSError, match="Bad file descriptor"):
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
            assert f"fd={fd}" not in repr(sock)
            os.fstat(other)
            os.close(other)

    run(main())


STAGES = ["at once", "made", "data", "eof", "full", "closing"]


class Talks(Echo):
    """A server's side that may be anywhere when its peer resets."""

    def __init__(self, chance: random.Random, made: list[Recorder]) -> None:
        super().__init__()
        self.stage = chance.choice(STAGES)
        made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.stage == "full":
            self.transport.write(bytes(3_000_000))
        elif self.stage == "closing":
            self.transport.write(b"bye")
            self.transport.close()


async def visit(address: tuple[str, int], number: int) -> None:
    """Connect, come to the stage of this number, and leave by a reset."""
    loop = asyncio.get_running_loop()
    stage = STAGES[number % len(STAGES)]
    protocol = Recorder()
    transport, _ = await loop.create_connection(lambda: protocol, *address)
    sock = transport.get_extra_info("socket")
    if stage == "data":
        transport.write(b"data")
        await until(lambda: protocol.data or protocol.lost)
    elif stage == "eof":
        transport.write_eof()
    elif stage == "full":
        transport.write(bytes(1_000_000))
    if number % 3 and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await gone(transport)
    assert len(protocol.lost) == 1


@pytest.mark.slow
def test_a_thousand_connections_with_resets_leave_nothing(run: Run) -> None:
    made: list[Recorder] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        chance = random.Random(20240229)
        server = await loop.create_server(lambda: Talks(chance, made), HOST, 0, backlog=1000)
        address = server.sockets[0].getsockname()
        before = open_descriptors()
        for start in range(0, 1000, 100):
            await asyncio.gather(*(visit(address, start + number) for number in range(100)))
        await until(lambda: all(protocol.lost for protocol in made))
        # Some were reset before the server could accept them.
        assert len(made) > 500
        assert open_descriptors().keys() == before.keys()
        server.close()
        await server.wait_closed()

    run(main())
    assert {len(protocol.lost) for protocol in made} == {1}
    kinds = {type(protocol.lost[0]) for protocol in made}
    # Ends of every kind have come.
    assert ConnectionResetError in kinds
    assert kinds <= {type(None), ConnectionResetError, BrokenPipeError}


def count_of(name: str) -> int:
    gc.collect()
    return sum(type(found).__name__ == name for found in gc.get_objects())


@pytest.mark.slow
def test_five_hundred_connections_are_forgotten(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, HOST, 0, backlog=200)
        address = server.sockets[0].getsockname()

        async def visit() -> None:
            protocol = Recorder()
            transport, _ = await loop.create_connection(lambda: protocol, *address)
            transport.write(b"hello")
            await until(lambda: protocol.data == b"hello")
            transport.close()
            await gone(transport)

        await visit()
        before = open_descriptors()
        for _ in range(5):
            visits = [asyncio.ensure_future(visit()) for _ in range(100)]
            # It counts what there is, so that its zero means something.
            await until(lambda: count_of("SocketTransport") > 0)
            await asyncio.gather(*visits)
            del visits
        await until(lambda: count_of("SocketTransport") == 0)
        assert open_descriptors().keys() == before.keys()
        server.close()
        await server.wait_closed()

    run_native(main())
    assert count_of("Echo") == count_of("SocketTransport") == 0


def test_a_cycle_through_a_live_protocol_is_collected(run_native: Run) -> None:
    class Holds(Recorder):
        """Knows its transport, which knows it."""

    async def main() -> None:
        near, peer = tcp_pair()
        transport = await attach(near, Holds())
        transport.close()
        await gone(transport)
        del near, transport
        assert nothing_to_read(peer) is False
        peer.close()

    run_native(main())
    assert count_of("Holds") == 0
