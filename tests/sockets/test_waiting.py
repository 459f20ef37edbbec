"""Waiting for a socket: who is told, who is not, and what is left behind."""

import asyncio
import contextlib
import gc
import os
import random
import resource
import socket
import struct
import weakref
from typing import Any

import ouroloop
import pytest

from tests.support.loops import Run, turns, until

from .conftest import connected, drain, fill, listening, pair


def test_cancelling_leaves_the_descriptor_usable(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            for _ in range(3):
                receiving = asyncio.ensure_future(loop.sock_recv(near, 10))
                await turns()
                receiving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await receiving
                assert not loop.remove_reader(near)
                far.send(b"data")
                assert await loop.sock_recv(near, 10) == b"data"
            fill(near)
            sending = asyncio.ensure_future(loop.sock_sendall(near, b"more"))
            await turns()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert not loop.remove_writer(near)
            drain(far)
            await loop.sock_sendall(near, b"again")
            assert drain(far) == b"again"

    run(main())


def test_a_second_waiter_takes_the_place_of_the_first(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            first = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            second = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            far.send(b"data")
            assert await second == b"data"
            far.send(b"more")
            await turns(10)
            assert not first.done()
            # The end of the first is none of the second's business.
            third = asyncio.ensure_future(loop.sock_recv(near, 2))
            assert await third == b"mo"
            assert await loop.sock_recv(near, 10) == b"re"
            third = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            far.send(b"last")
            assert await third == b"last"

    run(main())


def test_add_reader_takes_the_place_of_a_wait(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            waiting = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            called: list[bytes] = []
            loop.add_reader(near, lambda: called.append(near.recv(10)))
            far.send(b"a")
            await until(lambda: called)
            far.send(b"b")
            await until(lambda: called == [b"a", b"b"])
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            far.send(b"c")
            await until(lambda: called == [b"a", b"b", b"c"])
            # And the other way round.
            waiting = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            far.send(b"d")
            assert await waiting == b"d"
            assert called == [b"a", b"b", b"c"]
            assert not loop.remove_reader(near)

    run(main())


def test_remove_reader_ends_a_watch_but_not_the_wait(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            waiting = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            assert loop.remove_reader(near)
            assert not loop.remove_reader(near)
            far.send(b"data")
            await turns(10)
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await loop.sock_recv(near, 10) == b"data"

    run(main())


def test_a_reader_and_a_wait_for_writing_side_by_side(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            called: list[bytes] = []
            loop.add_reader(near, lambda: called.append(near.recv(10)))
            fill(near)
            sending = asyncio.ensure_future(loop.sock_sendall(near, b"data"))
            await turns()
            far.send(b"a")
            await until(lambda: called == [b"a"])
            assert not sending.done()
            drain(far)
            await sending
            far.send(b"b")
            await until(lambda: called == [b"a", b"b"])
            assert loop.remove_reader(near)

    run(main())


@pytest.mark.skipif(
    os.environ.get("OUROLOOP_MULTIPLEXER") in {"poll", "select"},
    reason="poll and select tell whoever waits of a closed descriptor",
)
def test_closing_the_socket_under_a_waiter(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            waiting = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            near.close()
            far.close()
            await turns(10)
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    run(main())


def test_a_number_that_comes_back_is_another_socket(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            waiting = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            number = near.fileno()
            near.close()
            with pair() as (other, other_far):
                assert other.fileno() == number
                second = asyncio.ensure_future(loop.sock_recv(other, 10))
                await turns()
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                other_far.send(b"data")
                assert await second == b"data"
                # One that was waited for, closed without a word, and is a transport's next.
                other.close()
                transport, protocol = await loop.create_connection(
                    lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sock=far
                )
                transport.abort()
                await turns()
                del protocol

    run_native(main())


def test_another_file_under_the_number_of_a_live_socket(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far), pair() as (other, other_far):
            for _ in range(2):
                receiving = asyncio.ensure_future(loop.sock_recv(near, 10))
                await turns()
                far.send(b"a")
                assert await receiving == b"a"
            os.dup2(other.fileno(), near.fileno())
            receiving = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            other_far.send(b"b")
            assert await receiving == b"b"

    run_native(main())


def test_a_socket_of_another_process_wakes_nobody(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            receiving = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            far.send(b"a")
            assert await receiving == b"a"
            # The connection lives on under another number, as it does in a child process.
            kept = near.dup()
            with kept:
                near.close()
                far.send(b"b")
                used = resource.getrusage(resource.RUSAGE_SELF)
                before = used.ru_utime + used.ru_stime
                await asyncio.sleep(0.2)
                used = resource.getrusage(resource.RUSAGE_SELF)
                assert used.ru_utime + used.ru_stime - before < 0.1

    run_native(main())


def test_the_peer_resets_the_connection(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with connected() as (near, far):
            receiving = asyncio.ensure_future(loop.sock_recv(near, 10))
            fill(near)
            sending = asyncio.ensure_future(loop.sock_sendall(near, b"data"))
            await turns()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
            answers = await asyncio.gather(receiving, sending, return_exceptions=True)
            kinds = {type(answer) for answer in answers}
            # The error is told once; the other one finds a connection that is no more.
            assert ConnectionResetError in kinds
            assert kinds <= {ConnectionResetError, BrokenPipeError, bytes}
            with pytest.raises(BrokenPipeError):
                await loop.sock_sendall(near, b"data")

    run(main())


def test_no_byte_is_lost_in_a_storm_of_cancellations(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        chance = random.Random(20)
        data = chance.randbytes(200_000)
        with pair() as (near, far):
            received = bytearray()

            async def feed() -> None:
                view = memoryview(data)
                while view:
                    size = chance.randrange(1, 400)
                    await loop.sock_sendall(far, view[:size])
                    view = view[size:]
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)

            feeding = asyncio.ensure_future(feed())
            cancelled = 0
            while len(received) < len(data):
                receiving = asyncio.ensure_future(loop.sock_recv(near, 500))
                for _ in range(chance.randrange(5)):
                    await asyncio.sleep(0)
                receiving.cancel()
                try:
                    received += await receiving
                except asyncio.CancelledError:
                    cancelled += 1
            await feeding
            assert cancelled > 100
            assert received == data

    run_native(main())


@pytest.mark.slow
def test_thousands_of_waiters(run: Run) -> None:
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))

    async def echo(sock: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        total = 0
        while data := await loop.sock_recv(sock, 100):
            total += len(data)
            await loop.sock_sendall(sock, data)
        return total

    async def main() -> None:
        loop = asyncio.get_running_loop()
        echoes = [asyncio.ensure_future(echo(near)) for near, _ in sockets]
        for _ in range(3):
            for number, (_, far) in enumerate(sockets):
                far.send(b"%d" % number)
            for number, (_, far) in enumerate(sockets):
                assert await loop.sock_recv(far, 100) == b"%d" % number
        for _, far in sockets:
            far.shutdown(socket.SHUT_WR)
        totals = await asyncio.gather(*echoes)
        assert totals == [3 * len(str(number)) for number in range(count)]

    try:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(pair()) for _ in range(count)]
            run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_accepting_without_a_descriptor_left(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with listening() as listener, socket.socket() as client:
            client.setblocking(False)
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            await turns()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(listener.fileno())
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            try:
                await loop.sock_connect(client, listener.getsockname())
                with pytest.raises(OSError, match="Too many open files") as error:
                    await accepting
                assert error.value.errno == 24
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            # The connection still waits.
            sock, address = await loop.sock_accept(listener)
            with sock:
                assert address == client.getsockname()

    run(main())


def test_a_waiting_task_is_collected_with_its_loop() -> None:
    class Marker:
        pass

    async def wait(sock: socket.socket, kept: object) -> None:
        await asyncio.get_running_loop().sock_recv(sock, 10)

    loop = ouroloop.new_event_loop()
    marker = Marker()
    gone = weakref.ref(marker)
    with pair() as (near, _):
        task = loop.create_task(wait(near, marker))
        loop.run_until_complete(asyncio.sleep(0))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        del task, loop, marker
        gc.collect()
        assert gone() is None


def test_what_is_awaited_shows(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            coroutine: Any = loop.sock_recv(near, 10)
            assert coroutine.cr_await is None
            task = asyncio.ensure_future(coroutine)
            await turns()
            assert asyncio.isfuture(coroutine.cr_await)
            assert "sock_recv" in repr(task)
            far.send(b"x")
            await task

    run_native(main())
