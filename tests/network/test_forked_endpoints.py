"""Datagrams, pipes, processes and socket calls in forked children: all of them are the parent's."""

import asyncio
import gc
import os
import socket
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import ouroloop
import pytest

from tests.support.loops import Run, until

from .forks import Forked, forked, in_child, is_open

REFUSAL = (
    "RuntimeError: This event loop belongs to the parent process; a forked child needs an event "
    "loop of its own"
)

WAITS = "import sys; sys.stdin.read(); print('ended', end='')"


class Receiver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost = False

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Reader(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


async def endpoint(
    factory: Callable[[], Receiver] = Receiver,
) -> tuple[Any, Receiver, socket.socket]:
    """Make a connected endpoint and its peer."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(factory, sock=near)
    return transport, protocol, far


def arrived(far: socket.socket) -> list[bytes]:
    """Return the datagrams that have arrived so far."""
    found: list[bytes] = []
    try:
        while True:
            found.append(far.recv(65536))
    except BlockingIOError:
        return found


async def end(transport: Any, protocol: Any, *files: Any) -> None:
    for file in files:
        file.close()
    transport.close()
    await until(lambda: protocol.lost)


def complaints(work: Callable[[], Any]) -> list[str]:
    """Return what is warned of meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
        gc.collect()
    return [str(it.message) for it in caught]


def test_a_child_sends_no_datagram(run_native: Run) -> None:
    async def main() -> None:
        transport, protocol, far = await endpoint()
        assert in_child(lambda: transport.sendto(b"child's")) == REFUSAL
        assert in_child(lambda: transport.sendto(bytes(50_000))) == REFUSAL
        assert arrived(far) == []
        transport.sendto(b"parent's")
        await until(lambda: arrived(far) == [b"parent's"])
        await end(transport, protocol, far)

    run_native(main())


@pytest.mark.parametrize(
    "look",
    [
        lambda transport: transport.get_write_buffer_size() > 0,
        lambda transport: transport.close(),
        lambda transport: transport.abort(),
        lambda transport: transport.get_extra_info("socket").fileno() > 0,
        lambda transport: transport.set_write_buffer_limits(0),
    ],
    ids=["size", "close", "abort", "socket", "limits"],
)
def test_datagrams_sent_before_leave_once(run_native: Run, look: Callable[[Any], Any]) -> None:
    """They leave before the fork, and in the child nobody sends them again."""

    async def main() -> None:
        transport, protocol, far = await endpoint()
        transport.sendto(b"one")
        transport.sendto(b"two")
        assert in_child(lambda: look(transport)) in ("None", "True", "False")
        await asyncio.sleep(0)
        assert arrived(far) == [b"one", b"two"]
        await end(transport, protocol, far)

    run_native(main())


def test_an_endpoint_that_is_closed_in_the_child(run_native: Run) -> None:
    async def main() -> None:
        transport, protocol, far = await endpoint()

        def resume() -> None:
            transport.pause_reading()
            transport.resume_reading()

        assert in_child(lambda: (transport.close(), transport.is_closing())[1]) == "True"
        assert in_child(resume) == REFUSAL
        far.send(b"hello")
        await until(lambda: protocol.received == [b"hello"])
        await end(transport, protocol, far)

    run_native(main())


def test_an_endpoint_that_is_collected_in_the_child(run_native: Run) -> None:
    async def main() -> None:
        kept = list(await endpoint())
        number = kept[0].get_extra_info("socket").fileno()

        def collect() -> str:
            # The loop, which watches it, holds it.
            kept[0].pause_reading()
            said = complaints(lambda: kept.pop(0))
            return f"{is_open(number)} {said}"

        assert in_child(collect) == "False []"
        transport, protocol, far = kept
        far.send(b"hello")
        await until(lambda: protocol.received == [b"hello"])
        await end(transport, protocol, far)

    run_native(main())


def test_the_child_is_told_of_no_further_datagram(run_native: Run) -> None:
    """One read brings many: the child that is forked while the first is told of hears no second."""

    class Forking(Receiver):
        child: Forked

        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data == b"0":
                self.child.fork()

    async def main(child: Forked) -> Any:
        transport, protocol, far = await endpoint(Forking)
        Forking.child = child
        child.kept = protocol
        for number in range(10):
            far.send(b"%d" % number)
        await until(lambda: len(protocol.received) == 10)
        await end(transport, protocol, far)

    with forked() as child:
        try:
            run_native(main(child))
        except BaseException as error:
            child.exit(f"{child.kept.received} {type(error).__name__}: {error}")
            raise
    assert child.words() == f"[b'0'] {REFUSAL}"


async def write_end() -> tuple[Any, Reader, Any]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(Reader, os.fdopen(write, "wb", 0))
    return transport, protocol, os.fdopen(read, "rb", 0)


def test_a_child_does_not_write_to_a_pipe(run_native: Run) -> None:
    async def main() -> None:
        transport, protocol, far = await write_end()
        for work in (
            lambda: transport.write(b"child's"),
            lambda: transport.write(bytearray(b"child's")),
            lambda: transport.writelines([b"child's"]),
        ):
            assert in_child(work) == REFUSAL
        assert in_child(transport.write_eof) == "None"
        assert in_child(transport.abort) == "None"
        assert far.read() is None
        transport.write(b"parent's")
        assert far.read() == b"parent's"
        await end(transport, protocol, far)

    run_native(main())


def test_what_waits_for_a_full_pipe_is_the_parents(run_native: Run) -> None:
    async def main() -> None:
        transport, protocol, far = await write_end()
        transport.write(bytes(300_000))
        waits = transport.get_write_buffer_size()
        assert 0 < waits < 300_000
        assert in_child(transport.close) == "None"
        assert in_child(lambda: complaints(transport.abort)) == "[]"
        assert transport.get_write_buffer_size() == waits
        came = 0
        while came < 300_000:
            came += len(far.read(65536) or b"")
            await asyncio.sleep(0)
        assert far.read() is None
        await end(transport, protocol, far)

    run_native(main())


def test_a_read_end_in_the_child(run_native: Run) -> None:
    async def main() -> None:
        read, write = os.pipe()
        loop = asyncio.get_running_loop()
        kept = list(await loop.connect_read_pipe(Reader, os.fdopen(read, "rb", 0)))

        def resume() -> None:
            kept[0].pause_reading()
            kept[0].resume_reading()

        def collect() -> str:
            kept[0].pause_reading()
            said = complaints(kept.clear)
            return f"{is_open(read)} {said}"

        assert in_child(resume) == REFUSAL
        assert in_child(kept[0].close) == "None"
        assert in_child(collect) == "False []"
        os.write(write, b"hello")
        transport, protocol = kept
        await until(lambda: protocol.data == b"hello")
        os.close(write)
        await until(lambda: protocol.lost)
        transport.close()

    run_native(main())


async def spawned() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", WAITS, stdin=-1, stdout=-1)


@pytest.mark.parametrize("method", ["kill", "terminate"])
def test_a_child_does_not_kill_its_sibling(run_native: Run, method: str) -> None:
    async def main() -> None:
        process = await spawned()
        assert in_child(getattr(process, method)) == REFUSAL
        assert in_child(lambda: process.send_signal(9)) == REFUSAL
        assert await process.communicate(b"") == (b"ended", None)
        assert process.returncode == 0

    run_native(main())


def test_a_process_that_is_closed_in_the_child(run_native: Run) -> None:
    """It goes on for the parent, with its pipes, and the parent reaps it."""

    async def main() -> None:
        process = await spawned()
        transport: Any = process._transport  # type: ignore[attr-defined]

        def close() -> str:
            def work() -> None:
                transport.close()

            return f"{complaints(work)} {transport.is_closing()}"

        assert in_child(close) == "[] True"
        assert await process.communicate(b"") == (b"ended", None)
        assert process.returncode == 0

    run_native(main())


def test_everything_goes_in_the_child() -> None:
    """Loop, process, pipes and endpoint are collected there; the parent goes on with all of them.

    ``Popen`` and files that are collected in a cycle warn of themselves, wherever that is.
    """
    kept: list[Any] = [ouroloop.new_event_loop()]

    async def begin() -> None:
        kept.append(await endpoint())
        kept.append(await spawned())

    async def go_on() -> None:
        _, (transport, protocol, far), process = kept
        far.send(b"hello")
        await until(lambda: protocol.received == [b"hello"])
        await end(transport, protocol, far)
        assert await process.communicate(b"") == (b"ended", None)
        assert process.returncode == 0

    def let_go() -> list[str]:
        kept[1][2].close()
        kept[0].close()
        return [it for it in complaints(kept.clear) if "transport" in it or "loop" in it]

    kept[0].run_until_complete(begin())
    assert in_child(let_go) == "[]"
    kept[0].run_until_complete(go_on())
    kept[0].close()


def step(coroutine: Coroutine[Any, Any, Any]) -> str:
    """Run a coroutine up to its first wait."""
    try:
        coroutine.send(None)
    except StopIteration as answer:
        return f"answered {answer.value!r}"
    return "waits"


def test_a_child_makes_no_socket_calls(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far, open(__file__, "rb") as file:  # noqa: PTH123
            near.setblocking(False)
            far.setblocking(False)
            for work in (
                lambda: step(loop.sock_sendall(near, b"child's")),
                lambda: step(loop.sock_sendfile(near, file)),
                lambda: step(loop.sock_recv(near, 10)),
            ):
                assert in_child(work) == REFUSAL
            await loop.sock_sendall(near, b"parent's")
            assert await loop.sock_recv(far, 100) == b"parent's"

    run_native(main())


def test_a_wait_that_goes_in_the_child(run_native: Run) -> None:
    """The child lets go of a wait that the parent has begun; the parent waits on."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            far.setblocking(False)
            waiting = asyncio.ensure_future(loop.sock_recv(near, 100))
            await asyncio.sleep(0)

            def let_go() -> str:
                coroutine: Any = waiting.get_coro()
                coroutine.close()
                return f"{loop.remove_reader(near)}"

            assert in_child(let_go) == "False"
            assert in_child(lambda: loop.remove_reader(near)) == "True"
            far.send(b"hello")
            assert await asyncio.wait_for(waiting, 10) == b"hello"
            # A wait after the event is armed again on the silent registration.
            again = asyncio.ensure_future(loop.sock_recv(near, 100))
            await asyncio.sleep(0)
            assert in_child(let_go) == "True"
            far.send(b"again")
            assert await asyncio.wait_for(again, 10) == b"again"

    run_native(main())
