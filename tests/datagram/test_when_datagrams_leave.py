"""When a datagram leaves: within ``sendto``, or a moment later where a callback sends many."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.support.loops import HOST, Run, until

from .peers import Recorder, endpoint, gone, reports, udp

MANY = 8
"""What a callback of a busy endpoint sends."""


def drained(peer: socket.socket) -> list[bytes]:
    """What has come so far; no turn of the loop, and no time, lies between."""
    peer.setblocking(False)
    found: list[bytes] = []
    try:
        while True:
            found.append(peer.recv(1 << 16))
    except BlockingIOError:
        return found
    finally:
        peer.settimeout(30)


async def busy(transport: Any, peer: socket.socket, callbacks: int = 2) -> None:
    """Have some callbacks send many datagrams each, and read them."""
    loop = asyncio.get_running_loop()
    for _ in range(callbacks):
        done: asyncio.Future[None] = loop.create_future()

        def send(done: asyncio.Future[None] = done) -> None:
            for _ in range(MANY):
                transport.sendto(b"h")
            done.set_result(None)

        loop.call_soon(send)
        await done
    found: list[bytes] = []
    while len(found) < MANY * callbacks:
        found += drained(peer)
        await asyncio.sleep(0)
    assert set(found) == {b"h"}


@pytest.mark.parametrize("data", [b"x", bytearray(b"y"), memoryview(b"z"), bytes(60_000)])
def test_a_datagram_leaves_at_once(run: Run, data: Any) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                for _ in range(3):
                    transport.sendto(data)
                    assert drained(peer) == [bytes(data)]
            async with endpoint() as (transport, _):
                for _ in range(3):
                    transport.sendto(data, peer.getsockname())
                    assert drained(peer) == [bytes(data)]

    run(main())


def test_the_first_of_a_callback_leaves_at_once_whatever_was_before(run: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                for _ in range(3):
                    await busy(transport, peer)
                    transport.sendto(b"x")
                    assert drained(peer) == [b"x"]

    run(main())


def test_the_first_of_a_callback_takes_those_of_the_last_with_it(run: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                await busy(transport, peer)
                loop = asyncio.get_running_loop()
                found: list[list[bytes]] = []

                def first() -> None:
                    for number in range(MANY):
                        transport.sendto(b"%d" % number)

                def second() -> None:
                    transport.sendto(b"second")
                    found.append(drained(peer))

                loop.call_soon(first)
                loop.call_soon(second)
                await until(lambda: found)
                assert found == [[*(b"%d" % number for number in range(MANY)), b"second"]]

    run(main())


def test_many_of_a_callback_leave_together(run_native: Run) -> None:
    """If none were held, this file would prove nothing of those that are."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                at_once = []
                for _ in range(20):
                    await busy(transport, peer)
                    for _ in range(MANY):
                        transport.sendto(b"x")
                    at_once.append(len(drained(peer)))
                    # Whoever looks has them sent.
                    assert transport.get_write_buffer_size() == 0
                    assert at_once[-1] + len(drained(peer)) == MANY
                # A slow machine's thread may have sent some, but not each time.
                assert min(at_once) == 1

    run_native(main())


@pytest.mark.parametrize("connected", [True, False])
def test_they_leave_while_the_callback_goes_on(run: Run, connected: bool) -> None:
    async def main() -> None:
        with udp() as peer:
            name = peer.getsockname()
            where = {"remote_addr": name} if connected else {"local_addr": (HOST, 0)}
            async with endpoint(**where) as (transport, protocol):
                arrivals = threading.Semaphore(0)
                found: list[bytes] = []

                def listen() -> None:
                    while (data := peer.recv(100)) != b"end":
                        found.append(data)
                        arrivals.release()

                thread = threading.Thread(target=listen)
                thread.start()
                expected = []
                for _ in range(4):
                    for number in range(MANY):
                        data = b"%d" % number
                        expected.append(data)
                        transport.sendto(data, None if connected else name)
                    for _ in range(MANY):
                        # The loop's thread is here.
                        assert arrivals.acquire(timeout=10)
                    await asyncio.sleep(0)
                transport.sendto(b"end", None if connected else name)
                await asyncio.to_thread(thread.join)
                assert found == expected
                assert protocol.errors == []

    run(main())


# Python 3.15 counts threads before the fork, and that which sends what is held ends within it.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_finds_them_sent(run_native: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                for _ in range(2):
                    await busy(transport, peer)
                    for _ in range(MANY):
                        transport.sendto(b"x")
                    child = os.fork()
                    if child == 0:
                        os._exit(len(drained(peer)))
                    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == MANY
                await asyncio.sleep(0)
                assert drained(peer) == []

    run_native(main())


LAST_WORDS = """
import asyncio, os, sys
async def main():
    loop = asyncio.get_running_loop()
    where = ("127.0.0.1", int(sys.argv[1]))
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=where)
    for word in (b"these", b"are", b"the last"):
        transport.sendto(word)
    os._exit(3)
asyncio.run(main())
"""


def test_a_process_that_ends_at_once_has_sent_them() -> None:
    with udp() as peer:
        port = str(peer.getsockname()[1])
        command = [sys.executable, "-m", "ouroloop", "-c", LAST_WORDS, port]
        assert subprocess.run(command, check=False, timeout=60).returncode == 3
        assert drained(peer) == [b"these", b"are", b"the last"]


def test_what_the_program_sends_by_the_socket_comes_after(run: Run) -> None:
    async def main() -> None:
        with udp() as peer, udp() as sock:
            sock.setblocking(False)
            name = peer.getsockname()
            async with endpoint(sock=sock) as (transport, _):
                number = os.dup(sock.fileno())
                with socket.socket(fileno=number) as own:
                    transport.sendto(b"one", name)
                    own.sendto(b"two", name)
                    transport.sendto(b"three", name)
                    own.sendto(b"four", name)
                assert drained(peer) == [b"one", b"two", b"three", b"four"]

    run(main())


def test_errors_of_those_that_are_held_are_told(run: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            name = peer.getsockname()
            async with endpoint(remote_addr=name) as (transport, protocol):
                await busy(transport, peer)
                peer.close()
                for _ in range(MANY):
                    transport.sendto(b"anyone?")
                await until(lambda: protocol.errors)
                assert {type(error) for error in protocol.errors} == {ConnectionRefusedError}
                assert not transport.is_closing()
                with udp() as late:
                    late.close()
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
                    late.bind(name)
                    # The error of the last one may be told instead of sending one of these.
                    transport.sendto(b"one")
                    transport.sendto(b"two")
                    assert transport.get_write_buffer_size() == 0
                    assert drained(late)[-1] == b"two"

    run(main())


def test_what_error_received_raises_at_the_turns_end_is_reported(run_native: Run) -> None:
    async def main() -> None:
        class Refusing(Recorder):
            def error_received(self, exc: Exception) -> None:
                super().error_received(exc)
                raise LookupError("not mine")

        found = reports()
        with udp() as peer:
            name = peer.getsockname()
            async with endpoint(Refusing()) as (transport, protocol):
                done = asyncio.Event()

                def send(second: Any) -> None:
                    for place in (name, second, name, name, name):
                        transport.sendto(b"x", place)

                loop = asyncio.get_running_loop()
                loop.call_soon(send, name)
                loop.call_soon(send, ("255.255.255.255", 9))
                loop.call_soon(done.set)
                await done.wait()
                assert drained(peer) == [b"x"] * 9
                assert len(protocol.errors) == 1
                assert [str(context["exception"]) for context in found] == ["not mine"]
                transport.abort()
                await gone(transport)

    run_native(main())
