"""``create_unix_server``: its keywords, errors and the file that it serves on."""

import asyncio
import errno
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.descriptors import open_descriptors
from tests.support.loops import Run, until

from .conftest import exactly
from .peers import Serving

CLEANS_UP = sys.version_info >= (3, 13)


async def serve(*arguments: Any, **keywords: Any) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(Serving, *arguments, **keywords)


def reached(path: str) -> bool:
    """Tell whether somebody listens at ``path``."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


def test_it_serves_at_once(run: Run, path: str, made: list[Serving]) -> None:
    async def main() -> None:
        server = await serve(path)
        assert isinstance(server, asyncio.Server)
        assert server.is_serving()
        assert [sock.getsockname() for sock in server.sockets] == [path]
        assert server.sockets[0].gettimeout() == 0
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            await until(lambda: len(made) == 1)
            client.sendall(b"ping")
            client.setblocking(False)
            answer = b""

            def answered() -> bool:
                nonlocal answer
                try:
                    answer += client.recv(16)
                except BlockingIOError:
                    return False
                return True

            await until(answered)
            assert answer == b"ping"
        await until(lambda: made[0].lost)
        server.close()
        await server.wait_closed()
        assert server.sockets == ()

    run(main())


def test_it_serves_later(run: Run, path: str) -> None:
    async def main() -> None:
        server = await serve(path, start_serving=False)
        assert not server.is_serving()
        assert not reached(path)
        await server.start_serving()
        assert server.is_serving()
        assert reached(path)
        server.close()
        await server.wait_closed()

    run(main())


def test_the_backlog_is_the_kernels(run: Run, path: str) -> None:
    async def main() -> None:
        server = await serve(path, backlog=0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for client in clients:
            client.setblocking(False)
        assert [client.connect_ex(path) for client in clients] == [0, errno.EAGAIN]
        for client in clients:
            client.close()
        server.close()
        await server.wait_closed()

    run(main())


REFUSALS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, ValueError, "path was not specified, and no sock specified"),
    ({"path": "x", "sock": 1}, ValueError, "path and sock can not be specified at the same time"),
    ({"path": "x", "ssl": True}, TypeError, "ssl argument must be an SSLContext or None"),
    ({"path": "x", "ssl": False}, TypeError, "ssl argument must be an SSLContext or None"),
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
]


@pytest.mark.parametrize(("keywords", "error", "message"), REFUSALS)
def test_what_does_not_fit_together(
    run: Run, keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    async def main() -> None:
        with pytest.raises(error, match=exactly(message)):
            await serve(**keywords)

    run(main())


@pytest.mark.parametrize(
    ("name", "error"), [("", IndexError), (b"", IndexError), ("a\0b", ValueError)]
)
def test_names_that_are_none(run_native: Run, name: Any, error: type[Exception]) -> None:
    """asyncio raises the same, and leaves its socket to the garbage collector."""

    async def main() -> None:
        before = open_descriptors()
        with pytest.raises(error):
            await serve(name)
        assert open_descriptors() == before

    run_native(main())


def test_sockets_of_other_kinds(run: Run) -> None:
    async def main() -> None:
        others = [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)]
        for family, kind in others:
            with socket.socket(family, kind) as sock:
                message = f"A UNIX Domain Stream Socket was expected, got {sock!r}"
                with pytest.raises(ValueError, match=exactly(message)):
                    await serve(sock=sock)

    run(main())


def test_a_socket_without_a_name(run: Run) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            with pytest.raises(IndexError if CLEANS_UP else OSError):
                await serve(sock=sock)
            assert sock.fileno() >= 0

    run(main())


def test_a_keyword_of_later_versions(run: Run, path: str) -> None:
    async def main() -> None:
        if CLEANS_UP:
            (await serve(path, cleanup_socket=False)).close()
            assert Path(path).exists()
        else:
            with pytest.raises(TypeError, match="unexpected keyword argument 'cleanup_socket'"):
                await serve(path, cleanup_socket=True)

    run(main())


def test_a_stale_file_is_replaced(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
        assert Path(path).is_socket()
        server = await serve(path)
        assert reached(path)
        server.close()
        await server.wait_closed()

    run(main())


def test_a_link_to_a_stale_file_is_replaced(run: Run, path: str) -> None:
    async def main() -> None:
        target = path + ".target"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(target)
        Path(path).symlink_to(target)
        server = await serve(path)
        assert not Path(path).is_symlink()
        assert Path(target).is_socket()
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "folder"])
def test_anything_else_is_left_alone(run: Run, path: str, make: Callable[[Path], None]) -> None:
    async def main() -> None:
        make(Path(path))
        before = open_descriptors()
        with pytest.raises(OSError, match=f"Address '{path}' is already in use") as error:
            await serve(path)
        assert error.value.errno == errno.EADDRINUSE
        assert error.value.strerror == f"Address {path!r} is already in use"
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__
        assert Path(path).exists()
        assert open_descriptors() == before

    run(main())


def test_an_abstract_name_that_is_taken(run: Run) -> None:
    async def main() -> None:
        name = f"\0ouroloop-taken-{os.getpid()}"
        server = await serve(name)
        with pytest.raises(OSError, match="is already in use") as error:
            await serve(name)
        assert error.value.strerror == f"Address {name!r} is already in use"
        server.close()
        await server.wait_closed()

    run(main())


def test_other_errors_of_bind(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        before = open_descriptors()
        with pytest.raises(FileNotFoundError):
            await serve(str(tmp_path / "nowhere" / "socket"))
        assert caplog.records == []
        (tmp_path / "file").touch()
        below = str(tmp_path / "file" / "socket")
        with pytest.raises(NotADirectoryError):
            await serve(below)
        assert open_descriptors() == before
        # The file could not be looked at either.
        record = caplog.records.pop()
        assert (record.name, record.levelno) == ("asyncio", logging.ERROR)
        cause = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        assert record.getMessage() == (
            f"Unable to check or remove stale UNIX socket {below!r}: {cause!r}"
        )

    with caplog.at_level(logging.ERROR, "asyncio"):
        run(main())


@pytest.mark.parametrize("given", [False, True])
def test_the_file_goes_with_the_server(run: Run, path: str, given: bool) -> None:
    async def main() -> None:
        if given:
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(path)
            server = await serve(sock=sock)
        else:
            server = await serve(path)
        assert Path(path).is_socket()
        server.close()
        assert Path(path).exists() != CLEANS_UP
        await server.wait_closed()
        server.close()

    run(main())


def test_a_relative_name(run: Run, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.chdir(Path(path).parent)
        server = await serve("socket")
        assert server.sockets[0].getsockname() == "socket"
        assert reached(path)
        server.close()
        assert Path(path).exists() != CLEANS_UP

    run(main())


def test_a_file_that_is_gone(run: Run, path: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = await serve(path)
        Path(path).unlink()
        server.close()
        await server.wait_closed()

    with caplog.at_level(logging.ERROR, "asyncio"):
        run(main())
    assert caplog.records == []


def test_a_file_that_is_anothers_now(run: Run, path: str) -> None:
    async def main() -> None:
        server = await serve(path)
        # Kept, so that the new file cannot be given the number of the old.
        Path(path).rename(path + ".old")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            server.close()
            assert Path(path).is_socket()
        await server.wait_closed()

    run(main())


@pytest.mark.skipif(not CLEANS_UP, reason="new in Python 3.13")
def test_a_file_that_cannot_be_removed(
    run: Run, path: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(_path: str) -> None:
        raise PermissionError(errno.EPERM, "not yours")

    async def main() -> None:
        server = await serve(path)
        monkeypatch.setattr(os, "unlink", unlink)
        server.close()
        monkeypatch.undo()
        assert Path(path).exists()
        await server.wait_closed()

    with caplog.at_level(logging.ERROR, "asyncio"):
        run(main())
    (record,) = caplog.records
    assert record.getMessage() == (
        f"Unable to clean up listening UNIX socket {path!r}: PermissionError(1, 'not yours')"
    )


def test_the_next_server_takes_the_name_over(run: Run, path: str) -> None:
    async def main() -> None:
        first = await serve(path)
        second = await serve(path)
        first.close()
        # The file is the second one's, and stays.
        assert reached(path)
        second.close()
        for server in (first, second):
            await server.wait_closed()

    run(main())


def test_a_socket_that_cannot_listen(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as sock:
            other.bind(path)
            other.listen()
            sock.bind(path + ".mine")
            sock.connect(path)
            with pytest.raises(OSError, match="Invalid argument"):
                await serve(sock=sock)
            assert sock.fileno() >= 0
            assert Path(path + ".mine").exists()

    run(main())


def test_connections_survive_the_server(run: Run, path: str, made: list[Serving]) -> None:
    async def main() -> None:
        server = await serve(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            await until(lambda: len(made) == 1)
            server.close()
            made[0].transport.write(b"still here")
            await asyncio.sleep(0)
            assert client.recv(16) == b"still here"
        await server.wait_closed()
        await until(lambda: made[0].lost)

    run(main())
