"""Clients that begin a TLS handshake and do not end it.

Each costs the server a descriptor until the handshake's time is over, and not a moment longer;
whoever comes meanwhile is served.
"""

import asyncio
import socket
import ssl
import struct
from typing import Any

import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.descriptors import open_descriptors
from tests.support.loops import HOST, Run, until

COUNT = 10


def client_hello() -> bytes:
    """Return a client's first record."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def is_served(address: Any, contexts: Contexts) -> None:
    keywords = {"ssl": contexts.client(), "server_hostname": NAME}
    reader, writer = await asyncio.open_connection(*address, **keywords)
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("nothing", "stays"),
        ("a byte", "leaves"),
        ("a header", "resets"),
        ("half", "stays"),
        ("half", "leaves"),
        ("all", "stays"),
        ("all", "resets"),
        ("rubbish behind", "leaves"),
    ],
)
def test_a_handshake_that_never_ends(run: Run, contexts: Contexts, said: str, end: str) -> None:
    hello = client_hello()
    words = {
        "nothing": b"",
        "a byte": hello[:1],
        "a header": hello[:5],
        "half": hello[: len(hello) // 2],
        "all": hello,
        "rubbish behind": hello + b"\x16\x03\x03\x00\x10" + b"\xff" * 16,
    }[said]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            Echo, HOST, 0, ssl=contexts.server(), ssl_handshake_timeout=0.3
        )
        address = server.sockets[0].getsockname()
        await is_served(address, contexts)
        before = len(open_descriptors())
        clients = []
        for _ in range(COUNT):
            sock = socket.socket()
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, words)
            clients.append(sock)
        await is_served(address, contexts)
        if end != "stays":
            for sock in clients:
                if end == "resets":
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                sock.close()
            clients.clear()
        await until(lambda: len(open_descriptors()) == before + len(clients))
        await is_served(address, contexts)
        for sock in clients:
            sock.close()
        server.close()
        await server.wait_closed()

    run(main())
