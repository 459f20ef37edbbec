"""Writes wait for the end of the turn, and nobody can lose a byte by it."""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import ouroloop
import pytest

from tests.loops import Factory, Run, turns, until
from tests.protocols import Filling, HalfOpen, Recorder

from .peers import (
    attach,
    connected,
    nothing_to_read,
    pattern,
    read_all,
    read_exactly,
    reports,
    segments_received,
    tcp_pair,
)

LAST = b"last words"


def test_one_turn_is_one_segment(run_native: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            before = segments_received(peer)
            transport.write(b"head ")
            assert nothing_to_read(peer)
            transport.write(bytearray(b"body "))
            transport.writelines([b"and ", b"tail"])
            assert nothing_to_read(peer)
            assert await read_exactly(peer, 18) == b"head body and tail"
            assert segments_received(peer) == before + 1
            transport.write(b"a")
            await turns()
            transport.write(b"b")
            assert await read_exactly(peer, 2) == b"ab"
            assert segments_received(peer) == before + 3

    run_native(main())


def test_all_callbacks_of_a_turn_share_it(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with connected(Recorder()) as (transport, peer):
            before = segments_received(peer)
            for letter in b"abcdefgh":
                loop.call_soon(transport.write, bytes([letter]))
            assert await read_exactly(peer, 8) == b"abcdefgh"
            assert segments_received(peer) == before + 1

    run_native(main())


def test_much_does_not_wait(run_native: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            transport.write(b"small")
            assert nothing_to_read(peer)
            transport.write(bytes(70_000))
            # No turn of the loop lies between.
            peer.settimeout(5)
            assert peer.recv(5) == b"small"
            assert await read_exactly(peer, 70_000) == bytes(70_000)

    run_native(main())


def test_a_large_piece_waits_for_more_of_its_callback_only(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with connected(Recorder()) as (transport, peer):
            before = segments_received(peer)

            def write() -> None:
                for _ in range(3):
                    transport.write(bytes(10_000))
                    assert nothing_to_read(peer)

            def look() -> None:
                peer.settimeout(5)
                assert len(peer.recv(30_000, socket.MSG_WAITALL)) == 30_000

            # Both run in the same turn.
            looked = loop.create_future()
            loop.call_soon(write)
            loop.call_soon(look)
            loop.call_soon(looked.set_result, None)
            await looked
            assert segments_received(peer) == before + 1

    run_native(main())


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


def test_a_busy_turn_sends_before_its_end(run_native: Run) -> None:
    """Many callbacks may stand behind a write: it does not wait for all of them."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen: list[bool] = []
        async with connected(Recorder()) as (transport, peer):
            loop.call_soon(transport.write, b"early")
            for _ in range(200):
                loop.call_soon(lambda: seen.append(nothing_to_read(peer)))
            await until(lambda: len(seen) == 200)
            assert seen[0]
            assert not seen[-1]
            # After 64 callbacks at the latest, as the documents say.
            assert seen.index(False) <= 64

    run_native(main())
