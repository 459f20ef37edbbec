"""``connect_accepted_socket``: connections that somebody else accepted."""

import asyncio
import logging
import socket
import ssl
import sys
from typing import Any

import pytest

from tests.support.loops import HOST, Run, until

from .conftest import exactly
from .peers import Recorder, closed


def take(*arguments: Any, **keywords: Any) -> Any:
    return asyncio.get_running_loop().connect_accepted_socket(Recorder, *arguments, **keywords)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server((HOST, 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


@pytest.mark.parametrize("pair", [tcp_pair, socket.socketpair], ids=["tcp", "unix"])
def test_it_is_served(run: Run, pair: Any) -> None:
    async def main() -> None:
        client, accepted = pair()
        with client:
            transport, protocol = await take(accepted)
            assert isinstance(protocol, Recorder)
            assert protocol.calls == ["connection_made"]
            assert accepted.gettimeout() == 0
            assert transport.get_extra_info("peername") == client.getsockname()
            assert transport.get_extra_info("sockname") == client.getpeername()
            client.sendall(b"there")
            await until(lambda: protocol.data == b"there")
            transport.write(b"and back")
            await asyncio.sleep(0)
            assert client.recv(16) == b"and back"
            await closed(transport, protocol)
            assert client.recv(16) == b""

    run(main())


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"ssl_handshake_timeout": 1}, "ssl_handshake_timeout is only meaningful with ssl"),
    ({"ssl_shutdown_timeout": 1}, "ssl_shutdown_timeout is only meaningful with ssl"),
]


@pytest.mark.parametrize(("keywords", "message"), REFUSALS)
def test_what_does_not_fit_together(run: Run, keywords: dict[str, Any], message: str) -> None:
    async def main() -> None:
        client, accepted = socket.socketpair()
        with client, accepted, pytest.raises(ValueError, match=exactly(message)):
            await take(accepted, **keywords)

    run(main())


def test_sockets_of_other_kinds(run: Run) -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            message = f"A Stream Socket was expected, got {sock!r}"
            with pytest.raises(ValueError, match=exactly(message)):
                await take(sock)
        client, accepted = socket.socketpair()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        wrapped = context.wrap_socket(accepted, do_handshake_on_connect=False)
        message = "Socket cannot be of type SSLSocket"
        with client, wrapped, pytest.raises(TypeError, match=exactly(message)):
            await take(wrapped)

    run(main())


def test_a_factory_that_fails(run: Run) -> None:
    def factory() -> asyncio.Protocol:
        raise LookupError("no protocol")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        client, accepted = socket.socketpair()
        with client:
            with pytest.raises(LookupError):
                await loop.connect_accepted_socket(factory, accepted)
            # Whose it is then changed with 3.14.8.
            assert (accepted.fileno() == -1) == (sys.version_info >= (3, 14, 8))
            accepted.close()

    run(main())


def test_debug_mode_logs_it(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> tuple[Any, Any]:
        client, accepted = socket.socketpair()
        with client:
            transport, protocol = await take(accepted)
            (record,) = [entry for entry in caplog.records if "handled" in entry.getMessage()]
            assert record.levelno == logging.DEBUG
            shown = transport.get_extra_info("socket")
            assert record.getMessage() == f"{shown!r} handled: ({transport!r}, {protocol!r})"
            await closed(transport, protocol)

    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(main(), debug=True)
