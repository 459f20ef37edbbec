"""Unix sockets whose names fill all the room that there is for them.

Python's own sockets take no such name, other programs' do. Linux counts a zero behind it that does
not fit into the room any more: whoever trusts the count reads past the end. Here that was once a
panic, in the middle of receiving.
"""

import asyncio
import ctypes
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.support.loops import Run, until

NAME = "n" * 108


def bind(sock: socket.socket, name: str) -> None:
    """Bind ``sock`` as a program does that is not written in Python."""
    address = struct.pack("=H", socket.AF_UNIX) + name.encode()
    assert ctypes.CDLL(None).bind(sock.fileno(), address, len(address)) == 0


class Receiving(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: list[tuple[bytes, Any]] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append((data, addr))


def test_of_datagrams(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            Receiving, local_addr="receiver", family=socket.AF_UNIX
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            bind(sender, NAME)
            sender.sendto(b"hello", "receiver")
            await until(lambda: protocol.received)
            assert protocol.received == [(b"hello", NAME)]
        transport.close()
        await asyncio.sleep(0.001)

    run(main())


def test_of_connections(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: list[Any] = []

    class Named(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            names.append(transport.get_extra_info("peername"))
            transport.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Named, "server")
        with socket.socket(socket.AF_UNIX) as client:
            bind(client, NAME)
            client.setblocking(False)
            await loop.sock_connect(client, "server")
            assert await loop.sock_recv(client, 1) == b""
        server.close()
        await server.wait_closed()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind("listener")
            listener.listen()
            listener.setblocking(False)
            bind(client, "c" * 108)
            client.connect("listener")
            accepted, peer = await loop.sock_accept(listener)
            accepted.close()
        assert names == [NAME]
        assert peer == "c" * 108

    run(main())
