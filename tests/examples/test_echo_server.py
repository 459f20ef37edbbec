"""The echo server under real clients: in turn, all at once, rude, and with much to say."""

import asyncio
import random
import resource
import select
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .echo_process import DEADLINE, EchoProcess

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="descriptors are counted through /proc/PID/fd"
)

Address = tuple[str, int]

MIB = 1 << 20
CONNECTS_IN_FLIGHT = 64  # below the listener's backlog, where the kernel would delay the rest
RESETS = 5
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def server(command: list[str], tmp_path: Path) -> Iterator[EchoProcess]:
    """A running server; afterwards it must stop on Ctrl-C with nothing on stderr."""
    with EchoProcess(command, tmp_path) as process:
        yield process


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for two thousand sockets, here and in the server, which inherits the limit."""
    needed = 2048
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"the hard limit of {hard} descriptors is too low")
    if soft == resource.RLIM_INFINITY or soft >= needed:
        yield
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def messages(count: int) -> Iterator[bytes]:
    """Different messages, from one byte to several of the server's reads."""
    source = random.Random(count)
    return (source.randbytes(source.randint(1, 4096)) for _ in range(count))


def connect(address: Address) -> socket.socket:
    """A blocking client that fails at the deadline rather than hang."""
    return socket.create_connection(address, timeout=DEADLINE)


def receive_all(client: socket.socket) -> bytes:
    """Everything up to the server's end of file."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def echo(address: Address, message: bytes) -> bytes:
    """Send a message and an end of file on a connection of its own; give what comes back."""
    with connect(address) as client:
        client.sendall(message)
        client.shutdown(socket.SHUT_WR)
        return receive_all(client)


def echo_in_turn(address: Address, count: int) -> None:
    """Open, use and close one connection after the other."""
    for message in messages(count):
        assert echo(address, message) == message


async def echo_at_once(address: Address, count: int) -> None:
    """Have all connections open before the first of them sends anything."""
    connecting = asyncio.Semaphore(CONNECTS_IN_FLIGHT)
    all_open = asyncio.Barrier(count)

    async def client(message: bytes) -> None:
        async with connecting:
            reader, writer = await asyncio.open_connection(*address)
        await all_open.wait()
        writer.write(message)
        writer.write_eof()
        assert await reader.read() == message
        writer.close()
        await writer.wait_closed()

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as clients:
        for message in messages(count):
            clients.create_task(client(message))


def leave_at_once(client: socket.socket) -> None:
    """The connection may be gone before the server has even accepted it."""


def leave_echo_unread(client: socket.socket) -> None:
    """The server learns of the reset while it reads."""
    client.sendall(b"unheard")
    assert select.select([client], [], [], DEADLINE)[0]


def leave_server_blocked(client: socket.socket) -> None:
    """The server learns of the reset in `drain`: it can neither write nor read further."""
    sent = 0
    client.setblocking(False)
    while select.select([], [client], [], 0.2)[1]:
        sent += client.send(bytes(65536))
        assert sent < 256 * MIB, "the server reads on although its own writes are stuck"


def test_transcript(server: EchoProcess) -> None:
    """The server prints its address, then a line for each connection that ends."""
    with connect(server.address) as client:
        peer = client.getsockname()
        client.sendall(b"hello, ")
        assert client.recv(1024) == b"hello, "
        client.sendall(b"echo")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"echo"
    server.assert_ended(1)
    expected = Path(__file__).with_name("expected") / "echo_server.txt"
    address = "{}:{}".format(*server.address)
    assert server.lines() == expected.read_text().format(server=address, peer=peer).splitlines()


def test_connections_in_turn(server: EchoProcess) -> None:
    """Each of many short connections gets its own bytes back."""
    echo_in_turn(server.address, 200)
    server.assert_ended(200)


def test_connections_at_once(server: EchoProcess) -> None:
    """No connection's bytes stray into another's."""
    asyncio.run(echo_at_once(server.address, 100))
    server.assert_ended(100)


@pytest.mark.parametrize("leave", [leave_at_once, leave_echo_unread, leave_server_blocked])
def test_abrupt_disconnects(server: EchoProcess, leave: Callable[[socket.socket], None]) -> None:
    """Connections that are reset leave nothing behind, and the server serves on."""
    for _ in range(RESETS):
        with connect(server.address) as client:
            leave(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    assert echo(server.address, b"still there?") == b"still there?"
    server.assert_ended(RESETS + 1)


def test_large_message(server: EchoProcess) -> None:
    """Every byte of a message far larger than all buffers comes back, in order."""
    message = random.Random(8).randbytes(8 * MIB + 1)

    def send(client: socket.socket) -> None:
        client.sendall(message)
        client.shutdown(socket.SHUT_WR)

    with connect(server.address) as client, ThreadPoolExecutor(1) as sender:
        sending = sender.submit(send, client)
        # Not compared in the assert itself: pytest would try to show where 8 MiB differ.
        intact = receive_all(client) == message
        sending.result(DEADLINE)
    assert intact
    server.assert_ended(1)


@pytest.mark.slow
@pytest.mark.usefixtures("many_descriptors")
def test_full_size(command: list[str], tmp_path: Path) -> None:
    """Ten thousand connections in turn, then a thousand at once, on one server."""
    with EchoProcess(command, tmp_path) as server:
        echo_in_turn(server.address, 10_000)
        asyncio.run(echo_at_once(server.address, 1_000))
        server.assert_ended(11_000)
