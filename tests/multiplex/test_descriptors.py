"""Watching descriptors by each mechanism: readers, writers, many of them, closed ones, too high ones."""

import asyncio
import contextlib
import fcntl
import os
import re
import resource
import selectors
import socket

import ouroloop
import pytest

from .conftest import pair, run_until, turn

LIMIT = 1024


def fill(sock):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(1 << 16))


def test_a_reader_is_called_as_long_as_there_is_something_to_read(loop):
    with pair() as (near, far):
        calls = []
        loop.add_reader(near, calls.append, "read")
        turn(loop)
        assert calls == []
        far.send(b"ab")
        run_until(loop, lambda: len(calls) > 1)
        near.recv(2)
        turn(loop)
        calls.clear()
        turn(loop)
        assert calls == []
        assert loop.remove_reader(near) is True
        far.send(b"c")
        turn(loop)
        assert calls == []


def test_a_writer_is_called_once_there_is_room(loop):
    with pair() as (near, far):
        calls = []
        fill(near)
        loop.add_writer(near, calls.append, "write")
        loop.add_reader(near, calls.append, "read")
        turn(loop)
        assert calls == []
        with contextlib.suppress(BlockingIOError):
            while far.recv(1 << 20):
                pass
        run_until(loop, lambda: calls)
        assert set(calls) == {"write"}
        assert loop.remove_writer(near) is True
        calls.clear()
        far.send(b"x")
        run_until(loop, lambda: calls)
        assert set(calls) == {"read"}
        loop.remove_reader(near)


def test_the_end_of_a_peer_wakes_a_reader(loop):
    with pair() as (near, far):
        calls = []
        loop.add_reader(near, lambda: calls.append(near.recv(1)))
        far.close()
        run_until(loop, lambda: calls)
        assert calls[0] == b""
        loop.remove_reader(near)


def test_the_end_of_a_pipe_wakes_its_writer(loop):
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, bytes(1 << 16))
    calls = []
    loop.add_writer(write, calls.append, "write")
    turn(loop)
    assert calls == []
    os.close(read)
    run_until(loop, lambda: calls)
    loop.remove_writer(write)
    os.close(write)


def test_each_of_many_is_found(loop):
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(pair()) for _ in range(200)]
        found = []

        def read(number, near):
            found.append((number, near.recv(8)))

        for number, (near, _) in enumerate(pairs):
            loop.add_reader(near, read, number, near)
        for number in (199, 0, 64):
            pairs[number][1].send(b"%d" % number)
        run_until(loop, lambda: len(found) == 3)
        assert sorted(found) == [(0, b"0"), (64, b"64"), (199, b"199")]
        for number, (_, far) in enumerate(pairs):
            far.send(b"%d" % number)
        run_until(loop, lambda: len(found) == 203)
        assert sorted(found[3:]) == [(number, b"%d" % number) for number in range(200)]
        for near, _ in pairs:
            loop.remove_reader(near)


def test_a_number_given_to_another_file_is_watched_for_that_one(loop):
    with pair() as (near, far), pair() as (other, other_far), near.dup():
        calls = []
        loop.add_reader(near, calls.append, "near")
        assert loop.remove_reader(near)
        os.dup2(other.fileno(), near.fileno())
        loop.add_reader(near, calls.append, "other")
        far.send(b"x")
        turn(loop)
        assert calls == []
        other_far.send(b"x")
        run_until(loop, lambda: calls)
        assert set(calls) == {"other"}
        loop.remove_reader(near)


def test_a_watched_descriptor_that_is_closed_keeps_no_other_from_being_found(native_loop):
    # The stock loop ends with an OSError there when it waits by select.
    loop = native_loop
    with pair() as (near, far), pair() as (gone, _):
        calls = []
        number = fcntl.fcntl(gone, fcntl.F_DUPFD_CLOEXEC, 900)
        loop.add_reader(number, lambda: None)
        loop.add_reader(near, calls.append, "near")
        os.close(number)
        far.send(b"x")
        run_until(loop, lambda: calls)
        assert loop.remove_reader(number) is True
        calls.clear()
        run_until(loop, lambda: calls)
        loop.remove_reader(near)


def test_a_closed_descriptor_is_refused(native_loop):
    # The stock loop takes it where it waits by poll or select.
    with pair() as (near, _):
        number = fcntl.fcntl(near, fcntl.F_DUPFD_CLOEXEC, 900)
        os.close(number)
        with pytest.raises(OSError, match="Bad file descriptor"):
            native_loop.add_reader(number, print)


def demand_high_numbers():
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft <= LIMIT + 10:
        pytest.skip("no process here may have a descriptor so high")


def under_high_number(sock):
    """Return the same socket under a number that select has no bit for."""
    demand_high_numbers()
    high = socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, LIMIT))
    high.setblocking(False)
    return high


@contextlib.contextmanager
def low_numbers_taken(sock):
    """See to it that descriptors are given numbers that select has no bit for."""
    demand_high_numbers()
    with contextlib.ExitStack() as stack:
        number = -1
        while number < LIMIT - 1:
            number = os.dup(sock.fileno())
            stack.callback(os.close, number)
        yield


@pytest.fixture
def select_loop():
    loop = ouroloop.new_event_loop(multiplexer="select")
    yield loop
    loop.close()


MESSAGE = "filedescriptor out of range in select()"


def test_select_refuses_a_number_that_is_too_high_in_pythons_words(select_loop):
    with pair() as (near, far), under_high_number(near) as high:
        selector = selectors.SelectSelector()
        selector.register(high, selectors.EVENT_READ)
        with pytest.raises(ValueError, match=f"^{re.escape(MESSAGE)}$"):
            selector.select(0)
        calls = []
        select_loop.add_reader(near, calls.append, "near")
        with pytest.raises(ValueError, match=f"^{re.escape(MESSAGE)}$"):
            select_loop.add_reader(high, print)
        with pytest.raises(ValueError, match=f"^{re.escape(MESSAGE)}$"):
            select_loop.add_writer(high, print)
        assert select_loop.remove_reader(high) is False
        far.send(b"x")
        run_until(select_loop, lambda: calls)
        select_loop.remove_reader(near)


def test_select_refuses_socket_calls_and_transports_on_a_number_that_is_too_high(select_loop):
    with pair() as (near, far), under_high_number(near) as high:

        async def main():
            with pytest.raises(ValueError, match=f"^{re.escape(MESSAGE)}$"):
                await select_loop.sock_recv(high, 1)
            with pytest.raises(ValueError, match=f"^{re.escape(MESSAGE)}$"):
                await select_loop.create_connection(asyncio.Protocol, sock=high)
            # Nothing of that is left: the loop goes on with what it can watch.
            assert await select_loop.sock_sendall(far, b"x") is None
            assert await select_loop.sock_recv(near, 1) == b"x"

        select_loop.run_until_complete(main())


def test_select_turns_a_connection_away_that_is_accepted_under_too_high_a_number(select_loop):
    surprises = []
    select_loop.set_exception_handler(lambda _, context: surprises.append(context))

    async def main():
        server = await select_loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        with socket.socket() as client, low_numbers_taken(client):
            client.setblocking(False)
            await select_loop.sock_connect(client, server.sockets[0].getsockname())
            async with asyncio.timeout(10):
                assert await select_loop.sock_recv(client, 1) == b""
        server.close()
        await server.wait_closed()

    select_loop.run_until_complete(main())
    assert [str(context["exception"]) for context in surprises] == [MESSAGE]


@pytest.mark.parametrize("name", ["epoll", "kqueue", "poll"])
def test_the_others_have_no_such_limit(name):
    try:
        loop = ouroloop.new_event_loop(multiplexer=name)
    except ValueError:
        pytest.skip("not on this system")
    with pair() as (near, far), under_high_number(near) as high:
        calls = []
        loop.add_reader(high, calls.append, "read")
        far.send(b"x")
        run_until(loop, lambda: calls)
        loop.remove_reader(high)
    loop.close()
