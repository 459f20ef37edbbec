"""``create_connection``: its keywords and errors, and what it leaves behind."""

import asyncio
import errno
import logging
import socket
import ssl
import sys
from typing import Any

import pytest

from tests.support.descriptors import open_descriptors
from tests.support.loops import HOST, Run

from .conftest import exactly
from .peers import Recorder, answers, closed, closed_port, echo_server, info, silent_port


def test_it_answers_transport_and_protocol(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with echo_server() as port:
            transport, protocol = await loop.create_connection(Recorder, HOST, port)
            assert isinstance(transport, asyncio.Transport)
            assert protocol.calls == ["connection_made"]
            assert transport.get_protocol() is protocol
            assert transport.get_extra_info("peername") == (HOST, port)
            transport.write(b"round")
            while protocol.data != b"round":
                await asyncio.sleep(0)
            await closed(transport, protocol)

    run(main())


def test_it_connects_by_name(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with echo_server() as port:
            connection = loop.create_connection(
                Recorder, "localhost", port, family=socket.AF_INET, flags=socket.AI_ADDRCONFIG
            )
            await closed(*await connection)

    run(main())


def test_it_connects_by_ipv6(run: Run) -> None:
    async def main() -> None:
        async with echo_server("::1") as port:
            connection = asyncio.get_running_loop().create_connection(Recorder, "::1", port)
            transport, protocol = await connection
            assert transport.get_extra_info("peername")[:2] == ("::1", port)
            await closed(transport, protocol)

    run(main())


def test_it_takes_a_connected_socket_over(run: Run) -> None:
    async def main() -> None:
        async with echo_server() as port:
            sock = socket.create_connection((HOST, port))
            connection = asyncio.get_running_loop().create_connection(Recorder, sock=sock)
            transport, protocol = await connection
            assert sock.gettimeout() == 0
            await closed(transport, protocol)
            assert sock.fileno() == -1

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio of Python 3.11 does not look")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it closes the first one's descriptor")
def test_a_socket_has_one_transport(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with echo_server() as port:
            sock = socket.create_connection((HOST, port))
            transport, protocol = await loop.create_connection(Recorder, sock=sock)
            twin = socket.socket(fileno=sock.fileno())
            with pytest.raises(RuntimeError, match=r"File descriptor .* is used by transport <"):
                await loop.create_connection(Recorder, sock=twin)
            twin.detach()
            await closed(transport, protocol)

    run(main())


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "host and port was not specified and no sock specified"),
    ({"server_hostname": "a"}, "server_hostname is only meaningful with ssl"),
    ({"server_hostname": ""}, "server_hostname is only meaningful with ssl"),
    ({"ssl": True}, "You must set server_hostname when using ssl without a host"),
    ({"ssl": True, "port": 1}, "You must set server_hostname when using ssl without a host"),
    ({"ssl_handshake_timeout": 1}, "ssl_handshake_timeout is only meaningful with ssl"),
    ({"ssl_shutdown_timeout": 1}, "ssl_shutdown_timeout is only meaningful with ssl"),
]


@pytest.mark.parametrize(("keywords", "message"), REFUSED)
def test_what_does_not_fit_together_is_refused(
    run: Run, keywords: dict[str, Any], message: str
) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=exactly(message)):
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, **keywords)

    run(main())


def test_a_socket_goes_without_an_address(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with socket.socket() as sock:
            message = "host/port and sock can not be specified at the same time"
            for keywords in ({"host": HOST}, {"port": 1}):
                with pytest.raises(ValueError, match=message):
                    await loop.create_connection(asyncio.Protocol, sock=sock, **keywords)

    run(main())


def test_a_socket_has_to_be_a_stream(run: Run) -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            message = f"A Stream Socket was expected, got {sock!r}"
            with pytest.raises(ValueError, match=exactly(message)):
                await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)

    run(main())


def test_an_ssl_socket_is_refused(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        with context.wrap_socket(socket.socket(), do_handshake_on_connect=False) as sock:
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await loop.create_connection(asyncio.Protocol, sock=sock)
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await loop.sock_connect(sock, (HOST, 1))

    run(main())


def test_an_unknown_keyword_is_refused(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with pytest.raises(TypeError, match="unexpected keyword argument 'nodelay'"):
            await loop.create_connection(asyncio.Protocol, HOST, 1, nodelay=True)

    run(main())


def test_a_refused_connection_says_where(run: Run) -> None:
    async def main() -> None:
        with closed_port() as port:
            with pytest.raises(ConnectionRefusedError) as error:
                await asyncio.get_running_loop().create_connection(Recorder, HOST, port)
            assert error.value.errno == errno.ECONNREFUSED
            assert error.value.strerror == f"Connect call failed ('{HOST}', {port})"

    run(main())


def test_several_failures_are_told_together(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with closed_port() as port:
            loop.getaddrinfo = answers(info("127.0.0.1", port), info("127.0.0.2", port))
            text = f"[Errno {errno.ECONNREFUSED}] Connect call failed ('127.0.0.{{}}', {port})"
            message = f"Multiple exceptions: {text.format(1)}, {text.format(2)}"
            with pytest.raises(OSError, match=exactly(message)):
                await loop.create_connection(Recorder, "somewhere", port)
            del loop.getaddrinfo

    run(main())


def test_equal_failures_are_told_once(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with closed_port() as port:
            loop.getaddrinfo = answers(info(HOST, port), info(HOST, port))
            with pytest.raises(ConnectionRefusedError):
                await loop.create_connection(Recorder, "somewhere", port)
            del loop.getaddrinfo

    run(main())


@pytest.mark.parametrize("delay", [None, 5])
def test_all_errors_are_a_group(run: Run, delay: float | None) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with closed_port() as port:
            loop.getaddrinfo = answers(info("127.0.0.1", port), info("127.0.0.2", port))
            connection: Any
            try:
                connection = loop.create_connection(
                    Recorder, "somewhere", port, all_errors=True, happy_eyeballs_delay=delay
                )
            except TypeError:
                assert sys.version_info < (3, 12)
                return
            assert sys.version_info >= (3, 12)
            with pytest.raises(ExceptionGroup) as error:
                await connection
            del loop.getaddrinfo
            assert error.value.message == "create_connection failed"
            kinds = [type(each) for each in error.value.exceptions]
            assert kinds == [ConnectionRefusedError] * 2

    run(main())


def test_the_next_address_is_tried(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        async with echo_server() as port:
            loop.getaddrinfo = answers(info("127.0.0.2", port), info(HOST, port))
            transport, protocol = await loop.create_connection(Recorder, "somewhere", port)
            del loop.getaddrinfo
            assert transport.get_extra_info("peername") == (HOST, port)
            await closed(transport, protocol)

    run(main())


@pytest.mark.parametrize("which", ["host", "local_addr"])
def test_an_empty_answer_is_an_error(run: Run, which: str) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.getaddrinfo = answers()
        arguments: dict[str, Any] = {"host": HOST, "port": 1, which: "somewhere"}
        if which == "local_addr":
            arguments[which] = ("somewhere", 0)
        with pytest.raises(OSError, match=r"^getaddrinfo\(\) returned empty list$"):
            await loop.create_connection(Recorder, **arguments)
        del loop.getaddrinfo

    run(main())


def test_local_addr_is_bound(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with echo_server() as port:
            connection = loop.create_connection(Recorder, HOST, port, local_addr=("127.0.0.3", 0))
            transport, protocol = await connection
            assert transport.get_extra_info("sockname")[0] == "127.0.0.3"
            await closed(transport, protocol)

    run(main())


def test_local_addr_of_another_family_is_an_error(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        message = f"no matching local address with family={socket.AF_INET!r} found"
        with pytest.raises(OSError, match=exactly(message)):
            await loop.create_connection(Recorder, HOST, 1, local_addr=("::1", 0))

    run(main())


def test_local_addr_in_use_is_an_error(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with closed_port() as used:
            number = f"[errno {errno.EADDRINUSE}] " if sys.version_info >= (3, 13) else ""
            where = f"error while attempting to bind on address ('{HOST}', {used})"
            message = f"[Errno {errno.EADDRINUSE}] {where}: {number}address already in use"
            with pytest.raises(OSError, match=exactly(message)):
                await loop.create_connection(Recorder, HOST, 1, local_addr=(HOST, used))

    run(main())


def test_an_error_of_another_kind_ends_it(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        sockets = []

        async def sock_connect(sock: socket.socket, address: Any) -> None:
            sockets.append(sock)
            raise ZeroDivisionError

        loop.getaddrinfo = answers(info("127.0.0.1"), info("127.0.0.2"))
        loop.sock_connect = sock_connect
        with pytest.raises(ZeroDivisionError):
            await loop.create_connection(Recorder, "somewhere", 1)
        del loop.getaddrinfo, loop.sock_connect
        assert [sock.fileno() for sock in sockets] == [-1]

    run(main())


@pytest.mark.parametrize("keywords", [{}, {"happy_eyeballs_delay": 0.01}])
def test_a_cancelled_connection_closes_its_descriptor_once(
    run: Run, keywords: dict[str, Any]
) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        async with echo_server() as port:
            with silent_port() as silent:
                before = open_descriptors()
                connection = loop.create_task(
                    loop.create_connection(Recorder, HOST, silent, **keywords)
                )
                while open_descriptors() == before:
                    await asyncio.sleep(0)
                await asyncio.sleep(0.01)
                connection.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connection
                await asyncio.sleep(0)
                assert open_descriptors() == before
                # The number is taken by the next connection, which must not be disturbed.
                transport, protocol = await loop.create_connection(Recorder, HOST, port)
                transport.write(b"mine")
                while protocol.data != b"mine":
                    await asyncio.sleep(0)
                await closed(transport, protocol)

    run(main())


def test_a_timeout_gives_the_descriptor_back(run: Run) -> None:
    async def main() -> None:
        with silent_port() as silent:
            before = open_descriptors()
            connection = asyncio.get_running_loop().create_connection(Recorder, HOST, silent)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection, 0.02)
            assert open_descriptors() == before

    run(main())


@pytest.mark.parametrize("end", ["close", "drop"])
def test_a_coroutine_that_is_given_up_closes_its_descriptor(run: Run, end: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with silent_port() as silent:
            before = open_descriptors()
            connection: Any = loop.create_connection(Recorder, HOST, silent)
            future = connection.send(None)
            assert len(open_descriptors()) == len(before) + 1
            if end == "close":
                connection.close()
            del connection
            assert open_descriptors() == before
            future.cancel()

    run(main())


def test_a_failing_factory_closes_the_socket(run_native: Run) -> None:
    def factory() -> asyncio.Protocol:
        raise ZeroDivisionError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with echo_server() as port:
            before = open_descriptors()
            with pytest.raises(ZeroDivisionError):
                await loop.create_connection(factory, HOST, port)
            while open_descriptors() != before:
                await asyncio.sleep(0)
            with socket.create_connection((HOST, port)) as sock:
                with pytest.raises(ZeroDivisionError):
                    await loop.create_connection(factory, sock=sock)
                # From Python 3.14.8 on it is closed although it is not the loop's.
                assert (sock.fileno() < 0) == (sys.version_info >= (3, 14, 8))

    run_native(main())


def test_cancelled_while_the_transport_opens(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made = []

        def factory() -> Recorder:
            made.append(Recorder())
            connection.cancel()
            return made[0]

        async with echo_server() as port:
            connection = loop.create_task(loop.create_connection(factory, HOST, port))
            with pytest.raises(asyncio.CancelledError):
                await connection
            await made[0].lost

    run(main())


def test_debug_mode_logs_the_connection(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main() -> None:
        async with echo_server() as port:
            connection = asyncio.get_running_loop().create_connection(Recorder, HOST, port)
            transport, protocol = await connection
            sock = transport.get_extra_info("socket")
            expected = f"{sock!r} connected to {HOST}:{port}: ({transport!r}, {protocol!r})"
            assert expected in [record.getMessage() for record in caplog.records]
            await closed(transport, protocol)
        # The records hold the transport, and that its loop.
        caplog.clear()

    run(main(), debug=True)
