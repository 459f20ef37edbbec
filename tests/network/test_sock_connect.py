"""``sock_connect``."""

import asyncio
import socket
from typing import Any

import pytest

from tests.support.loops import HOST, Run

from .conftest import exactly
from .peers import echo_server, silent_port


def test_sock_connect(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with echo_server() as port:
            for host in (HOST, "localhost"):
                with socket.socket() as sock:
                    sock.setblocking(False)
                    await loop.sock_connect(sock, (host, port))
                    assert sock.getpeername() == (HOST, port)
                    # Nothing of it stays watched.
                    assert not loop.remove_writer(sock)

    run(main())


def test_sock_connect_to_a_unix_socket(run: Run, tmp_path: Any) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as sock:
            listener.bind(path)
            listener.listen()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, path)
            assert sock.getpeername() == path

    run(main())


def test_sock_connect_wants_no_blocking_socket_in_debug_mode(run: Run) -> None:
    async def main() -> None:
        message = exactly("the socket must be non-blocking")
        with socket.socket() as sock, pytest.raises(ValueError, match=message):
            await asyncio.get_running_loop().sock_connect(sock, (HOST, 1))

    run(main(), debug=True)


def test_a_cancelled_sock_connect_watches_nothing(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with silent_port() as port, socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_connect(sock, (HOST, port)), 0.01)
            assert not loop.remove_writer(sock)

    run(main())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ((HOST,), "not enough values to unpack (expected 2, got 1)"),
        ((HOST, 1, 2, 3, 4), "_ipaddr_info() takes from 5 to 7 positional arguments but 8 were"),
    ],
)
def test_sock_connect_wants_an_address(run: Run, address: Any, message: str) -> None:
    async def main() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises((TypeError, ValueError)) as error:
                await asyncio.get_running_loop().sock_connect(sock, address)
            assert str(error.value).startswith(message)

    run(main())
