"""Bytes leave when they are written, or soon after, in one piece; and nobody can lose one by it."""

import asyncio
import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import ouroloop
import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import PATIENCE, Factory, Run, until
from tests.support.protocols import Filling, HalfOpen, Recorder

from .peers import (
    attach,
    connected,
    pattern,
    read_all,
    read_exactly,
    reports,
    reset,
    segments_received,
    tcp_pair,
)

LAST = b"last words"


async def habit(transport: asyncio.WriteTransport, pieces: int = 2) -> None:
    """Have some callbacks write several pieces each."""
    for _ in range(3):
        done = asyncio.get_running_loop().create_future()

        def write(done: asyncio.Future[None] = done) -> None:
            for _ in range(pieces):
                transport.write(b"h")
            done.set_result(None)

        asyncio.get_running_loop().call_soon(write)
        await done


async def trained(transport: asyncio.Transport, peer: socket.socket, pieces: int = 2) -> None:
    """Have callbacks write several pieces, and read them."""
    await habit(transport, pieces)
    assert await read_exactly(peer, 3 * pieces) == b"h" * 3 * pieces


def test_a_write_leaves_at_once(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            peer.settimeout(5)
            for data in (b"head", bytearray(b"body"), bytes(70_000)):
                transport.write(data)
                # No turn of the loop lies between.
                assert peer.recv(len(data), socket.MSG_WAITALL) == bytes(data)
            transport.writelines([b"and ", b"tail"])
            assert peer.recv(8, socket.MSG_WAITALL) == b"and tail"

    run(main())


def test_a_habit_of_several_writes_makes_one_segment(run_native: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            await trained(transport, peer, 3)
            before = segments_received(peer)
            transport.write(b"head ")
            transport.write(bytearray(b"body "))
            transport.writelines([b"and ", b"tail"])
            assert await read_exactly(peer, 18) == b"head body and tail"
            assert segments_received(peer) == before + 1

    run_native(main())


def test_it_leaves_with_the_turn(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with connected(Recorder()) as (transport, peer):
            await trained(transport, peer)
            loop.call_soon(transport.write, b"alone")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert peer.recv(10) == b"alone"

    run_native(main())


def test_a_new_connection_has_the_habit_of_its_servers_last(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        class Answers(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                self.transport.write(b"head")
                self.transport.write(b"body")

        server = await loop.create_server(Answers, "127.0.0.1", 0)
        segments: list[int] = []
        for _ in range(3):
            peer = socket.create_connection(server.sockets[0].getsockname())
            for _ in range(len(segments) + 1):
                before = segments_received(peer)
                peer.send(b"?")
                assert await read_exactly(peer, 8) == b"headbody"
            segments.append(segments_received(peer) - before)
            peer.close()
        server.close()
        await server.wait_closed()
        assert segments == [2, 1, 1]

    run_native(main())


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
@pytest.mark.parametrize("history", [0, 5])
def test_it_leaves_while_the_callback_goes_on(
    run: Run, kind: str, history: int, contexts: Contexts
) -> None:
    """Whatever was written before: the peer has it while the callback computes, or waits in another way."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server_tls, client_tls = (
            (contexts.server(), contexts.client()) if kind == "tls" else (None, None)
        )
        near, far = socket.socketpair() if kind != "tcp" else tcp_pair()
        seen = threading.Semaphore(0)

        def peer() -> None:
            with (
                far
                if client_tls is None
                else client_tls.wrap_socket(far, server_hostname=NAME) as end
            ):
                while data := end.recv(1):
                    if data != b"h":
                        seen.release()

        thread = threading.Thread(target=peer)
        thread.start()
        transport, protocol = await loop.connect_accepted_socket(Recorder, near, ssl=server_tls)
        for _ in range(history):
            await habit(transport)
        for number in range(3):
            transport.write(b"%d" % number)
            # The loop's thread is here.
            assert seen.acquire(timeout=5)
        await asyncio.sleep(0)
        transport.write(b"x")
        assert seen.acquire(timeout=5)
        transport.close()
        await until(lambda: protocol.lost)
        await loop.run_in_executor(None, thread.join)

    run(main())


def test_it_leaves_while_tasks_of_one_turn_go_on(run: Run) -> None:
    """Several tasks write to one connection, and each then waits in another way."""

    async def main() -> None:
        near, far = socket.socketpair()
        seen = threading.Semaphore(0)

        def peer() -> None:
            with far:
                while far.recv(1):
                    seen.release()

        thread = threading.Thread(target=peer)
        thread.start()
        _, writer = await asyncio.open_connection(sock=near)

        async def write() -> None:
            for _ in range(3):
                writer.write(b".")
                # The loop's thread is here.
                assert seen.acquire(timeout=5)
                await asyncio.sleep(0)

        await asyncio.gather(*(write() for _ in range(3)))
        writer.close()
        await writer.wait_closed()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)

    run(main())


def test_drain_sends(run: Run) -> None:
    async def main() -> None:
        near, peer = tcp_pair()
        _, writer = await asyncio.open_connection(sock=near)
        await habit(writer.transport)
        assert await read_exactly(peer, 6) == b"hhhhhh"
        writer.write(b"one")
        await writer.drain()
        # Neither a turn nor time lies between.
        assert peer.recv(10) == b"one"
        await asyncio.sleep(0)
        writer.write(b"two")
        await writer.drain()
        assert peer.recv(10) == b"two"
        peer.close()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    run(main())


# Python 3.15 counts threads before the fork, and that which sends what is held ends within it.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_finds_it_sent(run_native: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            await trained(transport, peer)
            for _ in range(2):
                transport.write(b"before")
                child = os.fork()
                if child == 0:
                    os._exit(0 if peer.recv(10, socket.MSG_PEEK) == b"before" else 1)
                assert os.waitpid(child, 0)[1] == 0
                assert peer.recv(10) == b"before"
                await trained(transport, peer)

    run_native(main())


def test_two_connections_each_in_one_piece(run_native: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (one, far), connected(Recorder()) as (other, peer):
            await trained(one, far)
            await trained(other, peer)
            before = segments_received(far), segments_received(peer)
            for transport in (one, other):
                transport.write(b"head")
                transport.write(b"body")
            assert await read_exactly(far, 8) == b"headbody"
            assert await read_exactly(peer, 8) == b"headbody"
            assert (segments_received(far), segments_received(peer)) == (
                before[0] + 1,
                before[1] + 1,
            )

    run_native(main())


def test_many_small_writes_of_a_callback_leave_in_order(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            expected = b""
            for _ in range(3):
                for number in range(3000):
                    transport.write(b"%d," % number)
                    expected += b"%d," % number
                await asyncio.sleep(0)
            assert await read_exactly(peer, len(expected)) == expected

    run(main())


def test_a_high_mark_of_zero_does_not_wait(run_native: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            transport.write(b"before ")
            transport.set_write_buffer_limits(0)
            assert peer.recv(7) == b"before "
            transport.write(b"after")
            assert peer.recv(5) == b"after"

    run_native(main())


LOOKS: dict[str, Callable[[asyncio.Transport], object]] = {
    "get_write_buffer_size": lambda transport: transport.get_write_buffer_size(),
    "socket": lambda transport: transport.get_extra_info("socket"),
    "set_write_buffer_limits": lambda transport: transport.set_write_buffer_limits(),
    "close": lambda transport: transport.close(),
    "abort": lambda transport: transport.abort(),
    "write_eof": lambda transport: transport.write_eof(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_whoever_looks_finds_it_sent(run: Run, look: str) -> None:
    async def main() -> None:
        async with connected(HalfOpen()) as (transport, peer):
            await trained(transport, peer)
            transport.write(LAST)
            LOOKS[look](transport)
            assert transport.get_write_buffer_size() == 0
            # No turn of the loop lies between.
            assert peer.recv(100) == LAST

    run(main())


@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
def test_what_was_written_before_the_end_arrives(run: Run, end: str) -> None:
    async def main() -> None:
        async with connected(HalfOpen()) as (transport, peer):
            expected = b""
            for number in range(50):
                transport.write(b"%d," % number)
                expected += b"%d," % number
            getattr(transport, end)()
            assert await read_all(peer) == expected

    run(main())


def test_a_large_write_before_close_arrives(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder(), small=True) as (transport, peer):
            transport.write(b"small")
            transport.write(pattern(3_000_000))
            transport.write(b"tail")
            transport.close()
            assert await read_all(peer) == b"small" + pattern(3_000_000) + b"tail"

    run(main())


def test_a_large_write_before_write_eof_arrives(run: Run) -> None:
    async def main() -> None:
        async with connected(HalfOpen(), small=True) as (transport, peer):
            transport.write(pattern(3_000_000))
            transport.write(b"tail")
            transport.write_eof()
            assert await read_all(peer) == pattern(3_000_000) + b"tail"
            assert not transport.is_closing()

    run(main())


@pytest.mark.parametrize("how", ["stop", "complete", "raise", "interrupt"])
def test_the_end_of_a_run_sends_first(factory: Factory, how: str) -> None:
    loop = factory()
    near, peer = tcp_pair()
    transport = loop.run_until_complete(attach(near, Recorder()))

    async def writes() -> None:
        transport.write(LAST)
        if how == "raise":
            raise ValueError
        if how == "interrupt":
            raise KeyboardInterrupt

    def writes_and_stops() -> None:
        transport.write(LAST)
        loop.stop()

    if how == "stop":
        loop.call_soon(writes_and_stops)
        loop.run_forever()
    elif how == "complete":
        loop.run_until_complete(writes())
    else:
        with pytest.raises(ValueError if how == "raise" else KeyboardInterrupt):
            loop.run_until_complete(writes())
    # The loop does not run any more.
    assert peer.recv(100) == LAST
    end(loop, transport, peer)


class Fails(Recorder):
    """Answers, and then raises."""

    def fail(self) -> None:
        self.transport.write(LAST)
        raise ValueError

    def data_received(self, data: bytes) -> None:
        self.fail()

    def eof_received(self) -> None:
        self.fail()


class FailsFilling(Filling):
    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(LAST)
        raise ValueError


class FailsAsked(Filling):
    def get_buffer(self, sizehint: int) -> Any:
        self.transport.write(LAST)
        raise ValueError


FAILING: dict[str, Callable[[], Fails | FailsFilling | FailsAsked]] = {
    "data_received": Fails,
    "eof_received": Fails,
    "get_buffer": FailsAsked,
    "buffer_updated": FailsFilling,
}


@pytest.mark.parametrize("method", FAILING)
def test_what_was_written_before_an_error_arrives(run: Run, method: str) -> None:
    protocol = FAILING[method]()

    async def main() -> None:
        contexts = reports()
        async with connected(protocol) as (_, peer):
            if method == "eof_received":
                peer.shutdown(socket.SHUT_WR)
            else:
                peer.sendall(b"data")
            await until(lambda: protocol.lost)
            assert await read_exactly(peer, len(LAST)) == LAST
            (context,) = contexts
            assert context["message"] == f"Fatal error: protocol.{method}() call failed."

    run(main())
    assert isinstance(protocol.lost[0], ValueError)


def end(loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, peer: socket.socket) -> None:
    """Close all three."""
    peer.close()
    transport.abort()
    loop.run_until_complete(until(lambda: transport.get_protocol() is None))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_writes_from_another_thread_while_the_loop_rests() -> None:
    loop = ouroloop.new_event_loop()
    near, peer = tcp_pair()
    protocol = Recorder()
    transport = loop.run_until_complete(attach(near, protocol))
    data = pattern(10_000_000)

    def writes() -> None:
        transport.write(b"small ")
        transport.write(bytearray(b"and "))
        transport.writelines([b"more"])

    for target in (writes, lambda: transport.write(data)):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
        if target is writes:
            # There is no turn whose end it could wait for.
            assert peer.recv(14, socket.MSG_WAITALL) == b"small and more"
    assert protocol.calls == ["made", "pause"]
    assert loop.run_until_complete(read_exactly(peer, len(data))) == data
    loop.run_until_complete(until(lambda: protocol.calls[-1] == "resume"))
    end(loop, transport, peer)


def test_writes_between_runs_leave_at_once(factory: Factory) -> None:
    loop = factory()
    near, peer = tcp_pair()
    transport = loop.run_until_complete(attach(near, Recorder()))
    transport.write(b"one")
    assert peer.recv(10) == b"one"
    transport.writelines([b"t", b"wo"])
    assert peer.recv(3, socket.MSG_WAITALL) == b"two"
    end(loop, transport, peer)


def test_what_is_sent_meanwhile_tells_why_it_could_not(run: Run) -> None:
    async def main() -> None:
        protocol = Recorder()
        async with connected(protocol) as (transport, peer):
            await trained(transport, peer)
            sock = transport.get_extra_info("socket")
            number = sock.fileno()

            def write() -> None:
                transport.write(b"lo")
                transport.write(b"st")
                reset(peer)
                # The kernel tells of it once: the thread that sends what is held, if there is one.
                poll = select.poll()
                poll.register(number, 0)
                native = isinstance(asyncio.get_running_loop(), ouroloop.Loop)
                limit = time.monotonic() + PATIENCE
                while native and poll.poll(0)[0][1] & select.POLLERR:
                    assert time.monotonic() < limit
                transport.write(b"!")

            asyncio.get_running_loop().call_soon(write)
            await until(lambda: protocol.calls[-1] == "lost")
            assert [type(error) for error in protocol.lost] == [ConnectionResetError]

    run(main())
