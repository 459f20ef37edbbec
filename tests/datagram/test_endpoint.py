"""``create_datagram_endpoint``: its arguments, its errors and the sockets that it makes."""

import asyncio
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any

import ouroloop
import pytest

from tests.support.loops import FACTORIES, HOST, Factory, Run, turns, until
from tests.support.releases import stock_has

from .peers import Echo, Recorder, endpoint, exactly, name_of, reports, udp

NEW_SOCKET_CHECK = stock_has((3, 13, 0))


async def create(**keywords: Any) -> Any:
    return await asyncio.get_running_loop().create_datagram_endpoint(Recorder, **keywords)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({}, ValueError, "unexpected address family"),
        ({"local_addr": HOST}, TypeError, "2-tuple is expected"),
        ({"local_addr": [HOST, 0]}, TypeError, "2-tuple is expected"),
        ({"remote_addr": (HOST, 0, 0)}, TypeError, "2-tuple is expected"),
        ({"local_addr": (HOST, 0), "family": socket.AF_UNIX}, TypeError, "string is expected"),
        ({"remote_addr": b"/x", "family": socket.AF_UNIX}, TypeError, "string is expected"),
        (
            {"local_addr": (HOST, 0), "remote_addr": ("::1", 1)},
            ValueError,
            "can not get address information",
        ),
    ],
)
def test_arguments_that_do_not_fit(
    run: Run, keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=exactly(message)):
        run(create(**keywords))


def test_no_version_knows_reuse_address_any_more(run: Run) -> None:
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'reuse_address'"):
        run(create(local_addr=(HOST, 0), reuse_address=False))


def test_a_stream_socket_is_refused(run: Run) -> None:
    what = "A datagram socket" if NEW_SOCKET_CHECK else "A UDP Socket"
    with socket.socket() as sock:
        with pytest.raises(ValueError, match=exactly(f"{what} was expected, got {sock!r}")):
            run(create(sock=sock))
        assert sock.fileno() >= 0


def test_a_raw_kind_of_socket_is_a_datagram_socket(run: Run, factory: Factory) -> None:
    if factory is FACTORIES["asyncio"] and not NEW_SOCKET_CHECK:
        pytest.skip("nothing but SOCK_DGRAM is")

    async def main() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            transport, protocol = await create(sock=sock)
            transport.close()
            await until(lambda: protocol.lost)

    run(main())


def test_what_a_socket_has_already_cannot_be_asked_for(run: Run) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        message = (
            "socket modifier keyword arguments can not be used when sock is specified. "
            f"(local_addr=('{HOST}', 0), family=2, reuse_port=True, allow_broadcast=1)"
        )
        with pytest.raises(ValueError, match=exactly(message)):
            run(
                create(
                    sock=sock,
                    local_addr=(HOST, 0),
                    family=2,
                    reuse_port=True,
                    allow_broadcast=1,
                    flags=0,
                )
            )


def test_the_address_of_a_given_socket(run: Run) -> None:
    async def main() -> None:
        sock = udp()
        async with endpoint(sock=sock) as (transport, _):
            assert not sock.getblocking()
            assert name_of(transport) == sock.getsockname()
            assert transport.get_extra_info("peername") is None
            assert transport.get_extra_info("socket").fileno() == sock.fileno()
            assert transport.get_extra_info("nothing", 5) == 5
            assert transport.get_extra_info("nothing") is None
        assert sock.fileno() == -1

    run(main())


def test_a_socket_of_another_transport_is_refused(run_native: Run) -> None:
    async def main() -> None:
        sock = udp()
        async with endpoint(sock=sock) as (transport, protocol):
            with pytest.raises(RuntimeError, match="is used by transport <DatagramTransport fd="):
                await create(sock=sock)
            with udp() as peer:
                peer.sendto(b"still here", name_of(transport))
                await until(lambda: protocol.received)

    run_native(main())


@pytest.mark.parametrize("method", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
def test_a_descriptor_in_use_is_not_the_users(run: Run, method: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with endpoint() as (transport, _):
            fd = transport.get_extra_info("socket").fileno()
            args = (print,) if method.startswith("add") else ()
            with pytest.raises(RuntimeError, match=f"^File descriptor {fd} is used by transport <"):
                getattr(loop, method)(fd, *args)
            transport.close()
            assert not loop.remove_reader(fd)

    run(main())


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, HOST), (socket.AF_INET6, "::1"), (0, "localhost")]
)
def test_both_ends_of_a_conversation(run: Run, family: int, host: str) -> None:
    async def main() -> None:
        async with endpoint(Echo(), local_addr=(host, 0), family=family) as (server, echo):
            address = name_of(server)
            async with endpoint(remote_addr=address[:2], family=family) as (client, protocol):
                assert client.get_extra_info("peername") == address
                client.sendto(b"hello")
                client.sendto(b"again", client.get_extra_info("peername"))
                await until(lambda: len(protocol.received) == 2)
                assert protocol.received == [(b"hello", address), (b"again", address)]
                assert echo.received == [
                    (b"hello", name_of(client)),
                    (b"again", name_of(client)),
                ]

    run(main())


def test_what_a_transport_is(run_native: Run) -> None:
    async def main() -> None:
        async with endpoint() as (transport, _):
            assert isinstance(transport, asyncio.DatagramTransport)
            # As stock asyncio's are, by what they share with streams.
            assert isinstance(transport, asyncio.Transport)
            assert type(transport) is ouroloop._native.DatagramTransport
            assert transport._loop is asyncio.get_running_loop()

    run_native(main())


def test_reuse_port(run: Run) -> None:
    async def main() -> None:
        async with endpoint(local_addr=(HOST, 0), reuse_port=True) as (first, _):
            sock = first.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            async with endpoint(local_addr=name_of(first), reuse_port=True) as (second, _):
                assert name_of(first) == name_of(second)
            with pytest.raises(OSError, match="Address already in use"):
                await create(local_addr=name_of(first))

    run(main())


def test_broadcast(run: Run) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind(("127.255.255.255", 0))
            listener.settimeout(10)
            port = listener.getsockname()[1]
            target = ("127.255.255.255", port)
            async with endpoint(remote_addr=target, allow_broadcast=True) as (transport, protocol):
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
                # It is not connected: answers come from other addresses.
                assert transport.get_extra_info("peername") is None
                transport.sendto(b"to all")
                transport.sendto(b"to all again", target)
                received = [await asyncio.to_thread(listener.recvfrom, 64) for _ in range(2)]
                assert [data for data, _ in received] == [b"to all", b"to all again"]
                message = f"Invalid address: must be None or {target}"
                with pytest.raises(ValueError, match=exactly(message)):
                    transport.sendto(b"x", (HOST, port))
                with udp() as other:
                    other.sendto(b"an answer", received[0][1])
                    await until(lambda: protocol.received)

    run(main())


def test_broadcast_without_permission_is_an_error(run: Run) -> None:
    async def main() -> None:
        async with endpoint() as (transport, protocol):
            transport.sendto(b"x", ("255.255.255.255", 9))
            await until(lambda: protocol.errors)
            assert isinstance(protocol.errors[0], OSError)

    run(main())


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_unix_sockets(run: Run, kind: str, tmp_path: Path) -> None:
    def address(name: str) -> str:
        return str(tmp_path / name) if kind == "path" else f"\0{tmp_path.name}-{name}"

    async def main() -> None:
        server_name, client_name = address("server"), address("client")
        family = socket.AF_UNIX
        async with endpoint(Echo(), local_addr=server_name, family=family) as (_, echo):
            keywords = {"local_addr": client_name, "remote_addr": server_name, "family": family}
            async with endpoint(**keywords) as (client, protocol):
                client.sendto(b"hello")
                await until(lambda: protocol.received)
                expected: Any = server_name, client_name
                if kind == "abstract":
                    expected = tuple(name.encode() for name in expected)
                assert protocol.received == [(b"hello", expected[0])]
                assert echo.received == [(b"hello", expected[1])]
                assert client.get_extra_info("peername") == expected[0]
                assert name_of(client) == expected[1]

    run(main())


def test_unix_datagrams_from_nobody(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with endpoint(local_addr=path, family=socket.AF_UNIX) as (_, protocol):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
                nameless.sendto(b"x", path)
            await until(lambda: protocol.received)
            assert protocol.received == [(b"x", None)]

    run(main())


def test_unix_names_that_are_no_text(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        names = [os.fsencode(tmp_path / "caf\xe9"), os.fsencode(tmp_path) + b"/\xff"]
        async with endpoint(Echo(), local_addr=path, family=socket.AF_UNIX) as (_, protocol):
            for name in names:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
                    peer.settimeout(10)
                    peer.bind(name)
                    peer.sendto(b"x", path)
                    assert await asyncio.to_thread(peer.recv, 8) == b"x"
            assert [addr for _, addr in protocol.received] == [os.fsdecode(name) for name in names]

    run(main())


def test_a_stale_unix_socket_is_removed(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as earlier:
            earlier.bind(str(path))
        async with endpoint(local_addr=str(path), family=socket.AF_UNIX):
            assert stat.S_ISSOCK(path.stat().st_mode)

    run(main())


def test_a_file_in_the_place_of_a_unix_socket_stays(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(OSError, match="Address already in use"):
        run(create(local_addr=str(path), family=socket.AF_UNIX))
    assert path.read_text() == "precious"


def test_a_unix_path_that_cannot_be_looked_at(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / ("x" * 300))
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        run(create(local_addr=path, family=socket.AF_UNIX))
    assert caplog.messages == [
        f"Unable to check or remove stale UNIX socket {path!r}: OSError(36, 'File name too long')"
    ]


def test_a_unix_socket_without_a_name(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(path)
            peer.settimeout(10)
            async with endpoint(family=socket.AF_UNIX) as (transport, _):
                assert name_of(transport) == ""
                transport.sendto(b"one", path)
                transport.sendto(b"two", path.encode())
                received = [await asyncio.to_thread(peer.recv, 8) for _ in range(2)]
                assert received == [b"one", b"two"]

    run(main())


def test_the_first_error_is_raised_and_nothing_stays_open(run: Run) -> None:
    with pytest.raises(OSError, match="Cannot assign requested address"):
        run(create(local_addr=("192.0.2.1", 0)))


def test_a_host_without_addresses(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def nothing(*_: Any, **__: Any) -> list[Any]:
            return []

        loop.getaddrinfo = nothing  # type: ignore[method-assign]
        with pytest.raises(OSError, match=exactly("getaddrinfo() returned empty list")):
            await create(local_addr=("localhost", 0))

    run(main())


def test_a_factory_that_raises(run_native: Run) -> None:
    """Stock asyncio leaves the socket to the garbage collector here."""

    async def main() -> None:
        def refuse() -> Recorder:
            raise LookupError("no protocol")

        loop = asyncio.get_running_loop()
        with pytest.raises(LookupError, match="no protocol"):
            await loop.create_datagram_endpoint(refuse, local_addr=(HOST, 0))

    run_native(main())


def test_a_cancelled_creation_leaves_nothing_open(run: Run) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(create(local_addr=(HOST, 0)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns(5)

    run(main())


def test_a_protocol_that_cannot_begin(run: Run) -> None:
    async def main() -> None:
        class Refusing(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                raise LookupError("not today")

        found = reports()
        async with endpoint(Refusing()) as (transport, protocol):
            assert [str(context["exception"]) for context in found] == ["not today"]
            with udp() as peer:
                peer.sendto(b"x", name_of(transport))
                await until(lambda: protocol.received)

    run(main())


@pytest.mark.parametrize("local", [True, False])
def test_debug_mode_tells_of_endpoints(
    run: Run, local: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main() -> None:
        with udp() as peer:
            remote = peer.getsockname()
            keywords = {"remote_addr": remote} | ({"local_addr": (HOST, 0)} if local else {})
            async with endpoint(**keywords) as (transport, _):
                told = next(line for line in caplog.records if "Datagram" in line.message)
                begin = f"local_addr=('{HOST}', 0) " if local else ""
                assert told.message.startswith(
                    f"Datagram endpoint {begin}remote_addr={remote} created: (<"
                )
                assert told.levelno == (logging.INFO if local else logging.DEBUG)
                transport.pause_reading()
                transport.resume_reading()
                assert any("pauses reading" in line for line in caplog.messages)
                assert any("resumes reading" in line for line in caplog.messages)

    run(main(), debug=True)
