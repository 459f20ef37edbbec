"""What ends a wait, by each mechanism: timers, other threads, signals; and what a fork leaves."""

import asyncio
import os
import signal
import socket
import threading
import time

import pytest

from .conftest import PATIENCE, pair, run_until

HOST = "127.0.0.1"


def test_timers_are_called_in_order_and_never_early(loop):
    called = []

    async def main():
        start = loop.time()
        done = loop.create_future()
        for delay in (0.003, 0.001, 0.0015, 0.0):
            loop.call_at(start + delay, lambda delay=delay: called.append((delay, loop.time())))
        loop.call_at(start + 0.004, done.set_result, None)
        await done
        return start

    start = loop.run_until_complete(main())
    assert [delay for delay, _ in called] == [0.0, 0.001, 0.0015, 0.003]
    # A loop's own clock has a resolution, by which asyncio may be early.
    resolution = time.get_clock_info("monotonic").resolution
    assert all(at >= start + delay - resolution for delay, at in called)


def test_another_thread_wakes_a_loop_that_waits(loop):
    calls = []

    async def main():
        woken = loop.create_future()

        def finish():
            calls.append(threading.get_ident())
            woken.set_result("woken")

        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(finish))
        loop.call_soon(thread.start)
        async with asyncio.timeout(PATIENCE):
            answer = await woken
        thread.join()
        return answer

    assert loop.run_until_complete(main()) == "woken"
    assert calls == [threading.get_ident()]


def test_calls_of_many_threads_all_arrive(loop):
    arrived = []

    def call(number):
        for n in range(50):
            loop.call_soon_threadsafe(arrived.append, (number, n))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    run_until(loop, lambda: len(arrived) == 200)
    for thread in threads:
        thread.join()
    for number in range(4):
        assert [n for who, n in arrived if who == number] == list(range(50))


def test_what_an_executor_computed_wakes_the_loop(loop):
    async def main():
        answer = await loop.run_in_executor(None, sum, range(10))
        await loop.shutdown_default_executor()
        return answer

    assert loop.run_until_complete(main()) == 45


@pytest.fixture
def interrupted_once():
    """Give a function that makes a signal interrupt this thread's next system call, without a wake-up."""
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("signal"))
    main = threading.get_ident()

    def soon():
        timer = threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGUSR1))
        timer.start()
        return timer

    yield soon, seen
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_interrupts_a_wait_and_nothing_is_lost(loop, interrupted_once):
    soon, seen = interrupted_once
    with pair() as (near, far):

        async def main():
            read = asyncio.create_task(loop.sock_recv(near, 1))
            await asyncio.sleep(0)
            timer = soon()
            async with asyncio.timeout(PATIENCE):
                while not seen:
                    await asyncio.sleep(0.05)
                assert not read.done()
                await loop.sock_sendall(far, b"x")
                answer = await read
            timer.join()
            return answer

        assert loop.run_until_complete(main()) == b"x"
    assert seen == ["signal"]


def test_a_signal_handler_of_the_loop_is_called_while_it_waits(loop):
    async def main():
        called = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, called.set_result, "called")
        timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        async with asyncio.timeout(PATIENCE):
            answer = await called
        timer.join()
        assert loop.remove_signal_handler(signal.SIGUSR1)
        return answer

    assert loop.run_until_complete(main()) == "called"


async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_streams_carry_more_than_any_buffer(loop):
    data = bytes(range(256)) * 12_000

    async def main():
        server = await asyncio.start_server(echo, HOST, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return answer

    assert loop.run_until_complete(main()) == data


def test_sockets_are_accepted_connected_read_and_written(loop):
    async def serve(listener):
        connection, _ = await loop.sock_accept(listener)
        with connection:
            while data := await loop.sock_recv(connection, 1 << 16):
                await loop.sock_sendall(connection, data.upper())

    async def main():
        with socket.create_server((HOST, 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            server = asyncio.create_task(serve(listener))
            async with asyncio.timeout(PATIENCE):
                await loop.sock_connect(client, listener.getsockname())
                answers = []
                for word in (b"one", b"two", b"three"):
                    await loop.sock_sendall(client, word)
                    answers.append(await loop.sock_recv(client, 10))
                client.shutdown(socket.SHUT_WR)
                await server
            return answers

    assert loop.run_until_complete(main()) == [b"ONE", b"TWO", b"THREE"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_leaves_the_parents_loop_alone(native_loop):
    loop = native_loop
    with pair() as (near, far), pair() as (other, other_far):
        calls = []
        loop.add_reader(near, lambda: calls.append(near.recv(1)))
        pid = os.fork()
        if pid == 0:
            try:
                loop.remove_reader(near)
                loop.close()
                mine = type(loop)(multiplexer=loop.multiplexer)
                found = []
                mine.add_reader(other, lambda: found.append(other.recv(1)))
                other_far.send(b"c")
                run_until(mine, lambda: found)
                mine.close()
                os._exit(0 if found == [b"c"] else 1)
            except BaseException:
                os._exit(2)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        far.send(b"p")
        run_until(loop, lambda: calls)
        assert calls == [b"p"]
        loop.remove_reader(near)
