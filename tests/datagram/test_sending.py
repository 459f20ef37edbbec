"""``sendto``: what it takes, when it leaves, and what waits."""

import asyncio
import errno
import socket
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.loops import HOST, Factory, Run, turns, until

from .peers import (
    Echo,
    Recorder,
    endpoint,
    exactly,
    gone,
    name_of,
    nothing_to_read,
    reports,
    udp,
    unix_pair,
)

HEADER = 8 if sys.version_info >= (3, 13) else 0
"""What a waiting datagram weighs beyond its content; 3.13.0 forgets it on the way out."""


async def arrived(peer: socket.socket, count: int = 1) -> list[bytes]:
    return [await asyncio.to_thread(peer.recv, 1 << 18) for _ in range(count)]


@pytest.mark.parametrize("data", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_every_kind_of_bytes_is_sent(run: Run, data: Any) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, protocol):
                transport.sendto(data)
                assert await arrived(peer) == [b"abc"]
                assert protocol.errors == []

    run(main())


def test_what_is_sent_later_is_what_was_given(run_native: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                data = bytearray(b"before")
                transport.sendto(data)
                data[:] = b"after!"
                transport.sendto(memoryview(b"s p r e a d ")[::2])
                assert await arrived(peer, 2) == [b"before", b"spread"]

    run_native(main())


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"]])
def test_what_is_no_bytes_is_refused(run: Run, data: Any) -> None:
    async def main() -> None:
        async with endpoint() as (transport, _):
            name = type(data).__name__
            message = f"data argument must be a bytes-like object, not {name!r}"
            with pytest.raises(TypeError, match=exactly(message)):
                transport.sendto(data, (HOST, 9))

    run(main())


def test_empty_datagrams_are_sent_since_3_13(run: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                transport.sendto(b"")
                transport.sendto(bytearray())
                transport.sendto(b"end")
                expected = [b"", b"", b"end"] if HEADER else [b"end"]
                assert await arrived(peer, len(expected)) == expected

    run(main())


def test_a_connected_endpoint_has_one_destination(run: Run) -> None:
    async def main() -> None:
        with udp() as peer, udp() as other:
            address = peer.getsockname()
            async with endpoint(remote_addr=address) as (transport, _):
                transport.sendto(b"one", None)
                transport.sendto(b"two", address)
                transport.sendto(b"three", addr=address)
                message = f"Invalid address: must be None or {address}"
                with pytest.raises(ValueError, match=exactly(message)):
                    transport.sendto(b"four", other.getsockname())
                assert await arrived(peer, 3) == [b"one", b"two", b"three"]

    run(main())


def test_a_socket_that_came_connected_ignores_addresses(run: Run) -> None:
    async def main() -> None:
        with udp() as peer, udp() as other:
            sock = udp()
            sock.connect(peer.getsockname())
            async with endpoint(sock=sock) as (transport, _):
                assert transport.get_extra_info("peername") == peer.getsockname()
                transport.sendto(b"x", other.getsockname())
                assert await arrived(peer) == [b"x"]
                assert nothing_to_read(other)

    run(main())


def test_a_connected_pair_without_names(run_native: Run) -> None:
    """Stock asyncio takes the empty name of the peer for no peer at all."""

    async def main() -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with far:
            async with endpoint(sock=near) as (transport, _):
                transport.sendto(b"x")
                assert await arrived(far) == [b"x"]

    run_native(main())


@pytest.mark.parametrize(
    ("family", "host", "spelled"),
    [
        (socket.AF_INET, HOST, lambda port: (HOST, port)),
        (socket.AF_INET, HOST, lambda port: ("localhost", port)),
        (socket.AF_INET, HOST, lambda port: ("127.1", port)),
        (socket.AF_INET, HOST, lambda port: (bytearray(HOST.encode()), port)),
        (socket.AF_INET6, "::1", lambda port: ("::1", port)),
        (socket.AF_INET6, "::1", lambda port: ("::1", port, 0)),
        (socket.AF_INET6, "::1", lambda port: ("0:0:0:0:0:0:0:1", port, 0, 0)),
        (socket.AF_INET6, "::1", lambda port: ("ip6-localhost", port, 0, 0)),
    ],
)
def test_addresses_in_every_spelling(
    run: Run, family: int, host: str, spelled: Callable[[int], Any]
) -> None:
    async def main() -> None:
        with udp(family, host) as peer:
            address = spelled(peer.getsockname()[1])
            try:
                with udp(family, host) as probe:
                    probe.sendto(b"probe", address)
                    assert await arrived(peer) == [b"probe"]
            except socket.gaierror:
                pytest.skip("this machine does not know the name")
            async with endpoint(local_addr=(host, 0), family=family) as (transport, protocol):
                for number in range(3):
                    transport.sendto(b"%d" % number, address)
                assert await arrived(peer, 3) == [b"0", b"1", b"2"]
                assert protocol.errors == []

    run(main())


def test_the_order_holds_across_kinds_of_addresses(run: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            port = peer.getsockname()[1]
            async with endpoint() as (transport, _):
                for number in range(9):
                    host = HOST if number % 3 else "localhost"
                    transport.sendto(b"%d" % number, (host, port))
                assert await arrived(peer, 9) == [b"%d" % number for number in range(9)]

    run(main())


@pytest.mark.parametrize(
    ("addr", "kind"),
    [
        (None, TypeError),
        ("nowhere", TypeError),
        ((HOST,), TypeError),
        ((HOST, "9"), TypeError),
        ((HOST, 70_000), OverflowError),
        ((5, 5), TypeError),
    ],
)
def test_an_address_that_is_none_ends_the_endpoint(
    run: Run, addr: Any, kind: type[Exception]
) -> None:
    async def main() -> None:
        found = reports()
        async with endpoint() as (transport, protocol):
            transport.sendto(b"x", addr)
            await gone(transport)
            assert [context["message"] for context in found] == [
                "Fatal write error on datagram transport"
            ]
            assert found[0]["transport"] is transport
            assert found[0]["protocol"] is protocol
            assert isinstance(found[0]["exception"], kind)
            assert protocol.lost == [found[0]["exception"]]

    run(main())


def test_a_name_that_nobody_knows_is_told(run: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint() as (transport, protocol):
                transport.sendto(b"x", ("no such host", 9))
                assert [type(error) for error in protocol.errors] == [socket.gaierror]
                transport.sendto(b"still here", peer.getsockname())
                assert await arrived(peer) == [b"still here"]

    run(main())


def test_a_datagram_that_is_too_long_fails_alone(run: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, protocol):
                transport.sendto(b"before")
                transport.sendto(b"x" * 70_000)
                assert [error.errno for error in protocol.errors] == [errno.EMSGSIZE]
                transport.sendto(b"after")
                assert await arrived(peer, 2) == [b"before", b"after"]
                assert protocol.errors[0].strerror == "Message too long"

    run(main())


def test_the_longest_datagrams(run: Run) -> None:
    async def main() -> None:
        async with (
            endpoint(Echo()) as (server, _),
            endpoint(remote_addr=name_of(server)) as (client, protocol),
        ):
            for length in (65_507, 1, 65_506, 0x8000):
                client.sendto(b"a" * length)
                await until(lambda: protocol.received)
                assert protocol.contents == [b"a" * length]
                protocol.received.clear()

    run(main())


def test_nobody_at_the_other_end(run: Run) -> None:
    async def main() -> None:
        with udp() as nobody:
            address = nobody.getsockname()
        async with endpoint(remote_addr=address) as (transport, protocol):
            transport.sendto(b"anyone?")
            await until(lambda: protocol.errors)
            assert [type(error) for error in protocol.errors] == [ConnectionRefusedError]
            assert not transport.is_closing()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
                late.bind(address)
                late.settimeout(10)
                transport.sendto(b"and now?")
                assert await arrived(late) == [b"and now?"]

    run(main())


def test_what_error_received_raises_in_sendto_is_the_callers(run: Run) -> None:
    async def main() -> None:
        class Refusing(Recorder):
            def error_received(self, exc: Exception) -> None:
                raise LookupError("not mine")

        with udp() as peer:
            async with endpoint(Refusing(), remote_addr=peer.getsockname()) as (transport, _):
                with pytest.raises(LookupError, match="not mine"):
                    transport.sendto(b"x" * 70_000)
                transport.sendto(b"next")
                assert await arrived(peer) == [b"next"]

    run(main())


def test_a_protocol_that_leaves_the_loop_loses_no_datagram(run_native: Run) -> None:
    async def main() -> None:
        class Leaving(Recorder):
            def error_received(self, exc: Exception) -> None:
                super().error_received(exc)
                raise KeyboardInterrupt

        with udp() as peer:
            async with endpoint(Leaving()) as (transport, _):
                transport.sendto(b"before", peer.getsockname())
                with pytest.raises(KeyboardInterrupt):
                    transport.sendto(b"x" * 70_000, peer.getsockname())
                transport.sendto(b"after", peer.getsockname())
                assert await arrived(peer, 2) == [b"before", b"after"]

    run_native(main())


def fill(transport: Any, payload: bytes, limit: int = 10_000) -> int:
    """Send until something waits; how many were sent."""
    for count in range(1, limit):
        transport.sendto(payload)
        if transport.get_write_buffer_size():
            return count
    raise AssertionError("it never filled up")


def test_a_full_peer_makes_datagrams_wait(run: Run) -> None:
    async def main() -> None:
        near, far = unix_pair()
        with far:
            async with endpoint(sock=near) as (transport, protocol):
                sent = fill(transport, b"x" * 100)
                assert transport.get_write_buffer_size() == 100 + HEADER
                transport.sendto(b"the last one")
                assert transport.get_write_buffer_size() == 112 + 2 * HEADER
                assert "write=<polling, bufsize=" in repr(transport)
                received = await arrived(far, sent + 1)
                assert received == [b"x" * 100] * sent + [b"the last one"]
                if sys.version_info[:3] != (3, 13, 0):
                    assert transport.get_write_buffer_size() == 0
                assert protocol.errors == []
                assert "write=<idle, bufsize=" in repr(transport)

    run(main())


def test_the_protocol_is_paused_and_resumed(run: Run) -> None:
    async def main() -> None:
        near, far = unix_pair()
        with far:
            async with endpoint(sock=near) as (transport, protocol):
                transport.set_write_buffer_limits(high=1000, low=400)
                assert transport.get_write_buffer_limits() == (400, 1000)
                sent = fill(transport, b"x" * 100)
                assert protocol.calls == ["made"]
                while protocol.calls == ["made"]:
                    transport.sendto(b"x" * 100)
                    sent += 1
                assert protocol.calls == ["made", "pause"]
                assert 1000 < transport.get_write_buffer_size() <= 1000 + 100 + HEADER
                if sys.version_info[:3] == (3, 13, 0):
                    await arrived(far, sent)
                    return
                assert len(await arrived(far, sent)) == sent
                await until(lambda: protocol.calls == ["made", "pause", "resume"])

    run(main())


def test_limits(run: Run) -> None:
    async def main() -> None:
        async with endpoint() as (transport, _):
            assert transport.get_write_buffer_limits() == (16_384, 65_536)
            transport.set_write_buffer_limits(low=10)
            assert transport.get_write_buffer_limits() == (10, 40)
            message = "high (1) must be >= low (2) must be >= 0"
            with pytest.raises(ValueError, match=exactly(message)):
                transport.set_write_buffer_limits(high=1, low=2)

    run(main())


def test_whoever_looks_sees_everything_sent(run_native: Run) -> None:
    async def main() -> None:
        looks: list[Callable[[Any], Any]] = [
            lambda transport: transport.get_write_buffer_size(),
            lambda transport: transport.get_extra_info("socket"),
            lambda transport: transport.set_write_buffer_limits(),
            lambda transport: transport.close(),
        ]
        with udp() as peer:
            peer.setblocking(False)
            for look in looks:
                async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                    transport.sendto(b"one")
                    transport.sendto(b"two")
                    look(transport)
                    assert [peer.recv(8), peer.recv(8)] == [b"one", b"two"]
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                transport.sendto(b"one")
                transport.abort()
                assert peer.recv(8) == b"one"

    run_native(main())


def test_much_leaves_at_once(run_native: Run) -> None:
    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                transport.sendto(b"x" * 40_000)
                assert not nothing_to_read(peer)
                assert await arrived(peer) == [b"x" * 40_000]
                for _ in range(32):
                    transport.sendto(b"x")
                assert not nothing_to_read(peer)
                assert await arrived(peer, 32) == [b"x"] * 32

    run_native(main())


def test_sending_while_the_loop_stands_still(factory: Factory) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        loop = runner.get_loop()
        with udp() as peer:
            transport, protocol = loop.run_until_complete(
                loop.create_datagram_endpoint(Recorder, remote_addr=peer.getsockname())
            )
            transport.sendto(b"now")
            assert peer.recv(8) == b"now"
            transport.close()
            loop.run_until_complete(until(lambda: protocol.lost))


def test_addresses_that_were_used_are_let_go(run_native: Run) -> None:
    async def main() -> None:
        class Address(tuple[Any, ...]):
            __slots__ = ()

        class Marked(str):
            __slots__ = ("__weakref__",)

        with udp() as peer:
            port = peer.getsockname()[1]
            async with endpoint() as (transport, _):
                for number in range(1000):
                    transport.sendto(b"x", (HOST, port) if number % 2 else Address((HOST, port)))
                await arrived(peer, 200)
                marked = Marked(HOST)
                reference = weakref.ref(marked)
                transport.sendto(b"x", (marked, port))
                del marked
                await turns()
                assert reference() is None

    run_native(main())
