"""``create_unix_connection``: its keywords, errors and addresses."""

import asyncio
import errno
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.descriptors import open_descriptors
from tests.support.loops import Run, until

from .conftest import exactly
from .peers import Echo, Recorder, Serving, closed


def connect(*arguments: Any, **keywords: Any) -> Any:
    return asyncio.get_running_loop().create_unix_connection(Recorder, *arguments, **keywords)


async def serve(path: Any, **keywords: Any) -> Any:
    return await asyncio.get_running_loop().create_unix_server(Echo, path, **keywords)


def names(folder: Path) -> list[Any]:
    """Make a name of each kind."""
    text = str(folder / "socket")
    abstract = f"\0ouroloop-{os.getpid()}-{id(folder)}"
    return [text, os.fsencode(text), Path(text), abstract, abstract.encode()]


@pytest.mark.parametrize("kind", range(5), ids=["str", "bytes", "path", "abstract", "raw abstract"])
def test_names_of_every_kind(run: Run, tmp_path: Path, kind: int) -> None:
    name = names(tmp_path)[kind]
    written = os.fspath(name) if kind >= 3 else str(tmp_path / "socket")
    if kind >= 3 and isinstance(written, str):
        written = written.encode()

    async def main() -> None:
        server = await serve(name)
        assert server.sockets[0].getsockname() == written
        transport, protocol = await connect(name)
        assert transport.get_extra_info("peername") == written
        assert transport.get_extra_info("sockname") == ""
        sock = transport.get_extra_info("socket")
        assert (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
        transport.write(b"to and fro")
        await until(lambda: protocol.data == b"to and fro")
        await closed(transport, protocol)
        assert transport.get_extra_info("peername") == written
        server.close()
        await server.wait_closed()

    run(main())


def test_addresses_of_an_accepted_connection(run: Run, tmp_path: Path, made: list[Serving]) -> None:
    path = str(tmp_path / "socket")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Serving, path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            await until(lambda: len(made) == 1)
            transport = made[0].transport
            assert transport.get_extra_info("peername") == ""
            assert transport.get_extra_info("sockname") == path
        await until(lambda: made[0].lost)
        with socket.socket(socket.AF_UNIX) as client:
            client.bind(str(tmp_path / "client"))
            client.connect(path)
            await until(lambda: len(made) == 2)
            assert made[1].transport.get_extra_info("peername") == str(tmp_path / "client")
        await until(lambda: made[1].lost)
        server.close()
        await server.wait_closed()

    run(main())


def test_a_name_that_is_no_text_is_written_as_python_does(run: Run, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe"

    async def main() -> None:
        server = await serve(name)
        transport, protocol = await connect(name)
        assert transport.get_extra_info("peername") == os.fsdecode(name)
        await closed(transport, protocol)
        server.close()
        await server.wait_closed()

    run(main())


def test_a_connected_socket(run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        with far:
            transport, protocol = await connect(sock=near)
            assert near.gettimeout() == 0
            far.sendall(b"hello")
            await until(lambda: protocol.data == b"hello")
            await closed(transport, protocol)
            assert near.fileno() == -1

    run(main())


REFUSALS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, ValueError, "no path and sock were specified"),
    ({"path": "x", "sock": 1}, ValueError, "path and sock can not be specified at the same time"),
    (
        {"path": "x", "server_hostname": "h"},
        ValueError,
        "server_hostname is only meaningful with ssl",
    ),
    (
        {"path": "x", "ssl": True},
        ValueError,
        "you have to pass server_hostname when using ssl",
    ),
    ({"path": "x", "ssl": True, "server_hostname": 5}, AssertionError, ""),
    (
        {"path": "x", "ssl_handshake_timeout": 1},
        ValueError,
        "ssl_handshake_timeout is only meaningful with ssl",
    ),
    (
        {"path": "x", "ssl_shutdown_timeout": 1},
        ValueError,
        "ssl_shutdown_timeout is only meaningful with ssl",
    ),
    ({"path": 3}, TypeError, "expected str, bytes or os.PathLike object, not int"),
    ({"path": "x" * 200}, OSError, "AF_UNIX path too long"),
]


@pytest.mark.parametrize(("keywords", "error", "message"), REFUSALS)
def test_what_does_not_fit_together(
    run: Run, keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    async def main() -> None:
        with pytest.raises(error, match=exactly(message)):
            await connect(**keywords)

    run(main())


def test_sockets_of_other_kinds(run: Run) -> None:
    async def main() -> None:
        others = [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)]
        for family, kind in others:
            with socket.socket(family, kind) as sock:
                message = f"A UNIX Domain Stream Socket was expected, got {sock!r}"
                with pytest.raises(ValueError, match=exactly(message)):
                    await connect(sock=sock)

    run(main())


def test_a_socket_of_the_module_ssl_is_refused(run_native: Run) -> None:
    """asyncio takes it."""

    async def main() -> None:
        near, far = socket.socketpair()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        wrapped = context.wrap_socket(near, do_handshake_on_connect=False)
        message = "Socket cannot be of type SSLSocket"
        with far, wrapped, pytest.raises(TypeError, match=exactly(message)):
            await connect(sock=wrapped)

    run_native(main())


def test_an_unknown_keyword(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'nonsense'"):
            await connect("x", nonsense=1)

    run(main())


def test_nobody_serves(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")

    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await connect(path)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
        with pytest.raises(ConnectionRefusedError):
            await connect(path)

    run(main())


def unlucky() -> asyncio.Protocol:
    raise LookupError("no protocol")


def test_a_factory_that_fails(run_native: Run, tmp_path: Path) -> None:
    """Older asyncios leave the socket to the garbage collector."""
    path = str(tmp_path / "socket")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            before = open_descriptors()
            with pytest.raises(LookupError):
                await loop.create_unix_connection(unlucky, path)
            assert open_descriptors() == before

    run_native(main())


def test_a_factory_that_fails_for_a_given_socket(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with far:
            with pytest.raises(LookupError):
                await loop.create_unix_connection(unlucky, sock=near)
            # Whose it is then changed with 3.14.8.
            assert (near.fileno() == -1) == (sys.version_info >= (3, 14, 8))
            near.close()

    run(main())


def test_a_full_backlog_is_waited_for(run_native: Run, tmp_path: Path) -> None:
    """asyncio makes transports that are not connected."""
    path = str(tmp_path / "socket")

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
            listener.bind(path)
            listener.listen(0)
            first.connect(path)
            with socket.socket(socket.AF_UNIX) as probe:
                probe.setblocking(False)
                assert probe.connect_ex(path) == errno.EAGAIN
            before = open_descriptors()
            given_up = asyncio.ensure_future(connect(path))
            waiting = asyncio.ensure_future(connect(path))
            done, _ = await asyncio.wait([given_up, waiting], timeout=0.02)
            assert done == set()
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            assert len(open_descriptors()) == len(before) + 1
            listener.accept()[0].close()
            transport, protocol = await waiting
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"room")
                await until(lambda: protocol.data == b"room")
            await closed(transport, protocol)

    run_native(main())


def test_streams(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_unix_server(serve, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"one\ntwo\n")
        assert [await reader.readline(), await reader.readline()] == [b"ONE\n", b"TWO\n"]
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await reader.read() == b"X" * 1_000_000
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
