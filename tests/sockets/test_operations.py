"""``sock_recv`` and its kin: what they answer, what they wait for, what they refuse."""

import array
import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.loops import HOST, Run, turns

from .conftest import connected, drain, fill, listening, pair

Loop = asyncio.AbstractEventLoop
Call = Callable[[Loop, Any], Awaitable[Any]]

READS: dict[str, Call] = {
    "recv": lambda loop, sock: loop.sock_recv(sock, 8),
    "recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(8)),
    "recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 8),
    "recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(8)),
    "accept": lambda loop, sock: loop.sock_accept(sock),
}
WRITES: dict[str, Call] = {
    "sendall": lambda loop, sock: loop.sock_sendall(sock, b"data"),
    "sendto": lambda loop, sock: loop.sock_sendto(sock, b"data", (HOST, 9)),
}
CALLS = READS | WRITES


class Derived(socket.socket):
    """A socket whose methods are its own."""

    __slots__ = ("calls",)

    def recv(self, *args: Any) -> bytes:  # type: ignore[override]
        self.calls: list[str] = [*getattr(self, "calls", []), "recv"]
        return super().recv(*args)

    def send(self, *args: Any) -> int:  # type: ignore[override]
        self.calls = [*getattr(self, "calls", []), "send"]
        return super().send(*args)


def derived(sock: socket.socket) -> Derived:
    """Turn a socket into one of the derived class."""
    other = Derived(sock.family, sock.type, sock.proto, fileno=sock.detach())
    other.setblocking(False)
    return other


def test_what_is_there_comes_without_a_turn(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            far.send(b"abcdef")
            receiving = loop.sock_recv(near, 4)
            with pytest.raises(StopIteration) as ended:
                receiving.send(None)  # type: ignore[attr-defined]
            assert ended.value.value == b"abcd"
            sending = loop.sock_sendall(near, b"answer")
            with pytest.raises(StopIteration) as ended:
                sending.send(None)  # type: ignore[attr-defined]
            assert ended.value.value is None
            assert drain(far) == b"answer"

    run(main())


def test_what_comes_later_is_waited_for(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            for number in range(5):
                receiving = asyncio.ensure_future(loop.sock_recv(near, 100))
                await turns()
                assert not receiving.done()
                far.send(b"%d" % number)
                assert await receiving == b"%d" % number
                assert not loop.remove_reader(near)

    run(main())


@pytest.mark.parametrize("size", [1, 100, 20_000, 65_536, 65_537, 300_000])
def test_sizes(run: Run, size: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        data = bytes(range(256)) * (size // 256 + 1)
        with connected() as (near, far):
            sending = asyncio.ensure_future(loop.sock_sendall(far, data))
            received = bytearray()
            while len(received) < len(data):
                piece = await loop.sock_recv(near, size)
                assert 0 < len(piece) <= size
                received += piece
            await sending
            assert received == data

    run(main())


def test_the_end_of_a_stream_is_no_bytes(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            receiving = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            far.close()
            assert await receiving == b""
            assert await loop.sock_recv(near, 10) == b""
            assert await loop.sock_recv_into(near, bytearray(3)) == 0

    run(main())


def test_whole_datagrams_are_received(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair(socket.SOCK_DGRAM) as (near, far):
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
            for length in (0, 1, 100, 70_000, 100_000):
                far.send(bytes(length))
                assert await loop.sock_recv(near, 200_000) == bytes(length)

    run(main())


def test_receiving_into_memory(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            memory = bytearray(b"........")
            far.send(b"ab")
            assert await loop.sock_recv_into(near, memory) == 2
            receiving = asyncio.ensure_future(loop.sock_recv_into(near, memoryview(memory)[4:6]))
            await turns()
            far.send(b"cdef")
            assert await receiving == 2
            assert memory == b"ab..cd.."
            numbers = array.array("I", [0])
            assert await loop.sock_recv_into(near, numbers) == 2
            assert numbers.tobytes() == b"ef\0\0"
            # There is no room, so nothing is received, and nothing is waited for.
            assert await loop.sock_recv_into(near, bytearray()) == 0

    run(main())


def test_datagrams_and_where_they_come_from(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        ):
            for sock in (near, far):
                sock.bind((HOST, 0))
                sock.setblocking(False)
            receiving = asyncio.ensure_future(loop.sock_recvfrom(near, 100))
            await turns()
            assert await loop.sock_sendto(far, b"first", near.getsockname()) == 5
            assert await receiving == (b"first", far.getsockname())
            memory = bytearray(8)
            receiving_into = asyncio.ensure_future(loop.sock_recvfrom_into(near, memory))
            await turns()
            await loop.sock_sendto(far, b"second", near.getsockname())
            assert await receiving_into == (6, far.getsockname())
            await loop.sock_sendto(far, b"third", near.getsockname())
            assert await loop.sock_recvfrom_into(near, memory, 2) == (2, far.getsockname())
            assert memory == b"thcond\0\0"

    run(main())


@pytest.mark.parametrize(
    "make", [bytes, bytearray, memoryview, lambda data: array.array("B", data)]
)
def test_sending_more_than_there_is_room_for(run: Run, make: Callable[[bytes], Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        data = bytes(range(256)) * 8000
        with pair() as (near, far):
            sending = asyncio.ensure_future(loop.sock_sendall(near, make(data)))
            received = bytearray()
            while len(received) < len(data):
                received += await loop.sock_recv(far, 100_000)
            assert await sending is None
            assert received == data
            assert not loop.remove_writer(near)

    run(main())


def test_memory_that_is_being_sent_keeps_its_size(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            data = bytearray(4_000_000)
            sending = asyncio.ensure_future(loop.sock_sendall(near, data))
            await turns()
            with pytest.raises(BufferError):
                data.clear()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            del sending
            drain(far)
            data.clear()

    run(main())


def test_both_directions_at_once(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        data = bytes(2_000_000)

        async def receive(sock: socket.socket) -> int:
            total = 0
            while total < len(data):
                total += len(await loop.sock_recv(sock, 50_000))
            return total

        with pair() as (near, far):
            answers = await asyncio.gather(
                loop.sock_sendall(near, data),
                loop.sock_sendall(far, data),
                receive(near),
                receive(far),
            )
            assert answers == [None, None, len(data), len(data)]

    run(main())


def test_accepting(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with listening() as listener:
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            await turns()
            with socket.create_connection(listener.getsockname()) as client:
                sock, address = await accepting
                with sock:
                    assert type(sock) is socket.socket
                    assert address == client.getsockname()
                    assert sock.gettimeout() == 0
                    assert not sock.get_inheritable()
                    assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
                    assert not loop.remove_reader(listener)

    run(main())


def test_accepting_on_a_unix_socket(run: Run, tmp_path: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(str(tmp_path / "listener"))
            listener.listen()
            listener.setblocking(False)
            client.bind(str(tmp_path / "client"))
            client.connect(listener.getsockname())
            sock, address = await loop.sock_accept(listener)
            with sock:
                assert address == str(tmp_path / "client")
            with socket.socket(socket.AF_UNIX) as nameless:
                nameless.connect(listener.getsockname())
                sock, address = await loop.sock_accept(listener)
                with sock:
                    assert address == ""

    run(main())


def test_other_socket_classes_are_used_by_their_methods(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (first, second), derived(first) as near, derived(second) as far:
            receiving = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            await loop.sock_sendall(far, b"data")
            assert await receiving == b"data"
            assert near.calls == ["recv", "recv"]
            assert far.calls == ["send"]
            data = bytes(2_000_000)
            sending = asyncio.ensure_future(loop.sock_sendall(far, data))
            received = bytearray()
            while len(received) < len(data):
                received += await loop.sock_recv(near, 100_000)
            await sending
            assert received == data

    run(main())


def test_what_only_behaves_like_a_socket(run: Run) -> None:
    class Alike:
        def __init__(self, sock: socket.socket) -> None:
            self._sock = sock
            self.interrupted = True

        def fileno(self) -> int:
            return self._sock.fileno()

        def gettimeout(self) -> float:
            return 0

        def recv(self, size: int) -> bytes:
            if self.interrupted:
                self.interrupted = False
                raise InterruptedError
            return self._sock.recv(size).upper()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            far.send(b"data")
            assert await loop.sock_recv(Alike(near), 10) == b"DATA"  # type: ignore[arg-type]

    run(main(), debug=True)


@pytest.mark.parametrize("name", CALLS)
def test_blocking_sockets_are_refused_in_debug_mode(run: Run, name: str) -> None:
    async def main() -> None:
        with socket.socket() as sock, pytest.raises(ValueError, match="must be non-blocking"):
            await CALLS[name](asyncio.get_running_loop(), sock)

    run(main(), debug=True)


@pytest.mark.parametrize("name", CALLS)
def test_ssl_sockets_are_refused(run: Run, name: str) -> None:
    import ssl

    async def main() -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        with pair() as (near, _):
            wrapped = context.wrap_socket(near, do_handshake_on_connect=False)
            with wrapped, pytest.raises(TypeError, match="cannot be of type SSLSocket"):
                await CALLS[name](asyncio.get_running_loop(), wrapped)

    run(main())


@pytest.mark.parametrize("name", CALLS)
def test_closed_sockets_are_bad_descriptors(run: Run, name: str) -> None:
    async def main() -> None:
        sock = socket.socket()
        sock.close()
        with pytest.raises(OSError, match="Bad file descriptor") as error:
            await CALLS[name](asyncio.get_running_loop(), sock)
        assert error.value.errno == 9

    run(main())


@pytest.mark.parametrize("name", CALLS)
def test_descriptors_of_transports_are_refused(run: Run, name: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with listening() as listener:
            transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
            peer, _ = listener.accept()
            with (
                peer,
                socket.socket(
                    fileno=socket.dup(transport.get_extra_info("socket").fileno())
                ) as other,
            ):
                view = socket.socket(fileno=transport.get_extra_info("socket").fileno())
                try:
                    fill(other)
                    # Accepting and addressed sending fail before they would wait.
                    expected = OSError if name == "accept" else RuntimeError
                    with pytest.raises(expected) as error:
                        await CALLS[name](loop, view)
                    if expected is RuntimeError:
                        text = f"File descriptor {view.fileno()} is used by transport <"
                        assert str(error.value).startswith(text)
                finally:
                    view.detach()
                    transport.abort()
                    await turns()

    run(main())


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (-1, ValueError, "negative buffersize in recv"),
        ("1", TypeError, "'str' object cannot be interpreted as an integer"),
        (1.0, TypeError, "'float' object cannot be interpreted as an integer"),
    ],
)
def test_sizes_that_make_no_sense(
    run: Run, size: Any, error: type[Exception], message: str
) -> None:
    async def main() -> None:
        with pair() as (near, far):
            far.send(b"data")
            with pytest.raises(error, match=message):
                await asyncio.get_running_loop().sock_recv(near, size)
            assert await asyncio.get_running_loop().sock_recv(near, 0) == b""

    run(main())


def test_what_is_no_memory(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            far.send(b"data")
            with pytest.raises(TypeError, match="a bytes-like object is required, not 'str'"):
                await loop.sock_sendall(near, "text")  # type: ignore[arg-type]
            with pytest.raises(BufferError):
                await loop.sock_sendall(near, memoryview(b"abcd")[::2])
            with pytest.raises(TypeError, match="read-write bytes-like object"):
                await loop.sock_recv_into(near, b"fixed")  # type: ignore[arg-type]
            await loop.sock_sendall(near, b"")
            assert await loop.sock_recv(near, 10) == b"data"

    run(main())


def test_a_blocking_socket_does_not_block_the_loop(run_native: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (near, far):
            near.setblocking(True)
            receiving = asyncio.ensure_future(loop.sock_recv(near, 10))
            await turns()
            far.send(b"data")
            assert await receiving == b"data"
            data = bytes(2_000_000)
            sending = asyncio.ensure_future(loop.sock_sendall(near, data))
            received = 0
            while received < len(data):
                received += len(await loop.sock_recv(far, 100_000))
            await sending

    run_native(main())


def test_a_closed_loop_waits_for_nothing(run_native: Run) -> None:
    loop = asyncio.new_event_loop()

    async def main() -> Loop:
        return asyncio.get_running_loop()

    closed = run_native(main())
    loop.close()
    with pair() as (near, far):
        receiving = closed.sock_recv(near, 10)
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            receiving.send(None)
        far.send(b"data")
