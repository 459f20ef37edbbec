"""From the socket to ``datagram_received``: fairness, pauses, errors of the protocol, contexts."""

import asyncio
import contextvars
import itertools
import socket
import struct
from typing import Any

import ouroloop
import pytest

from tests.support.loops import HOST, Run, turns, until

from .peers import Echo, Recorder, endpoint, name_of, reports, udp, unix_pair


def send(peer: socket.socket, contents: list[bytes], address: Any) -> None:
    for content in contents:
        peer.sendto(content, address)


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_datagrams_come_whole_and_in_order(run: Run) -> None:
    async def main() -> None:
        async with endpoint() as (transport, protocol):
            contents = [b"", b"x", b"y" * 1400, b"", b"z" * 65_507, *numbers(100)]
            with udp() as peer:
                send(peer, contents, name_of(transport))
                await until(lambda: len(protocol.received) == len(contents))
                assert protocol.received == [(data, peer.getsockname()) for data in contents]

    run(main())


def test_senders_are_told_apart(run: Run) -> None:
    async def main() -> None:
        async with endpoint(Echo()) as (transport, protocol):
            peers = [udp() for _ in range(100)]
            try:
                for turn in range(3):
                    for number, peer in enumerate(peers):
                        peer.sendto(b"%d %d" % (number, turn), name_of(transport))
                    await until(lambda count=100 * (turn + 1): len(protocol.received) == count)
                for data, addr in protocol.received:
                    assert addr == peers[int(data.split()[0])].getsockname()
                for number, peer in enumerate(peers):
                    assert [peer.recv(8) for _ in range(3)] == [
                        b"%d %d" % (number, turn) for turn in range(3)
                    ]
            finally:
                for peer in peers:
                    peer.close()

    run(main())


@pytest.mark.parametrize(
    ("family", "host"),
    [(socket.AF_INET, HOST), (socket.AF_INET, "127.1.2.3"), (socket.AF_INET6, "::1")],
)
def test_addresses_are_as_python_writes_them(run: Run, family: int, host: str) -> None:
    async def main() -> None:
        async with endpoint(local_addr=(host, 0), family=family) as (transport, protocol):
            with udp(family, host) as peer:
                peer.sendto(b"x", name_of(transport))
                await until(lambda: protocol.received)
                ((_, addr),) = protocol.received
                assert addr == peer.getsockname()
                assert type(addr) is tuple
                assert [type(item) for item in addr] == [str, *[int] * (len(addr) - 1)]

    run(main())


def test_an_ipv4_sender_on_an_ipv6_socket(run: Run) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        async with endpoint(Echo(), sock=sock) as (transport, protocol):
            with udp() as peer:
                peer.sendto(b"x", (HOST, name_of(transport)[1]))
                assert await asyncio.to_thread(peer.recv, 8) == b"x"
                assert protocol.received == [
                    (b"x", (f"::ffff:{HOST}", peer.getsockname()[1], 0, 0))
                ]

    run(main())


def test_a_flood_does_not_starve_others(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with endpoint() as (transport, protocol):
            ticks: list[int] = []

            def tick() -> None:
                ticks.append(len(protocol.received))
                if ticks[-1] < 200:
                    loop.call_soon(tick)

            with udp() as peer:
                send(peer, numbers(200), name_of(transport))
                tick()
                await until(lambda: len(protocol.received) == 200)
            steps = [after - before for before, after in itertools.pairwise(ticks)]
            assert max(steps) <= 32

    run(main())


def test_a_pause_in_the_middle_loses_nothing(run: Run) -> None:
    async def main() -> None:
        class Sleepy(Recorder):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                super().datagram_received(data, addr)
                self.transport.pause_reading()

        async with endpoint(Sleepy()) as (transport, protocol):
            with udp() as peer:
                send(peer, numbers(50), name_of(transport))
                for count in range(1, 51):
                    await until(lambda count=count: len(protocol.received) == count)
                    await turns()
                    assert len(protocol.received) == count
                    assert not transport.is_reading()
                    transport.resume_reading()
                    assert transport.is_reading()
            assert protocol.contents == numbers(50)

    run(main())


def test_what_is_kept_goes_to_the_protocol_of_the_time(run: Run) -> None:
    async def main() -> None:
        class Leaving(Recorder):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                super().datagram_received(data, addr)
                self.transport.set_protocol(heir)

        heir = Recorder()
        async with endpoint(Leaving()) as (transport, protocol):
            with udp() as peer:
                send(peer, numbers(10), name_of(transport))
                await until(lambda: len(heir.received) == 9)
            assert protocol.contents + heir.contents == numbers(10)
            assert transport.get_protocol() is heir

    run(main())


@pytest.mark.parametrize("method", ["close", "abort"])
def test_nothing_comes_after_the_end(run: Run, method: str) -> None:
    async def main() -> None:
        class Ending(Recorder):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                super().datagram_received(data, addr)
                getattr(self.transport, method)()

        async with endpoint(Ending()) as (transport, protocol):
            with udp() as peer:
                send(peer, numbers(10), name_of(transport))
                await until(lambda: protocol.lost)
            assert protocol.contents == [b"0"]
            assert protocol.calls == ["made", "lost"]

    run(main())


def test_errors_of_the_protocol_are_reported_one_by_one(run: Run) -> None:
    async def main() -> None:
        class Picky(Recorder):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                super().datagram_received(data, addr)
                if int(data) % 2:
                    raise LookupError(data)

        found = reports()
        async with endpoint(Picky()) as (transport, protocol):
            with udp() as peer:
                send(peer, numbers(10), name_of(transport))
                await until(lambda: len(protocol.received) == 10)
            assert not transport.is_closing()
            assert [context["exception"].args[0] for context in found] == numbers(10)[1::2]
            assert all(context["message"].startswith("Exception in callback") for context in found)

    run(main())


def test_leaving_the_loop_in_the_middle_loses_nothing() -> None:
    class Interrupted(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data == b"3":
                raise KeyboardInterrupt

    loop = ouroloop.new_event_loop()
    try:
        protocol = Interrupted()
        transport, _ = loop.run_until_complete(
            loop.create_datagram_endpoint(lambda: protocol, local_addr=(HOST, 0))
        )
        with udp() as peer:
            send(peer, numbers(10), name_of(transport))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(until(lambda: len(protocol.received) == 10))
        assert protocol.contents == numbers(4)
        loop.run_until_complete(until(lambda: len(protocol.received) == 10))
        assert protocol.contents == numbers(10)
        transport.close()
        loop.run_until_complete(until(lambda: protocol.lost))
    finally:
        loop.close()


def test_methods_run_in_the_context_of_the_creation(run: Run) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def main() -> None:
        class Reading(Recorder):
            def __init__(self) -> None:
                super().__init__()
                self.seen: list[str] = []

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                self.seen.append(variable.get())

            def datagram_received(self, data: bytes, addr: Any) -> None:
                super().datagram_received(data, addr)
                self.seen.append(variable.get())
                self.transport.sendto(b"x" * 70_000, addr)

            def error_received(self, exc: Exception) -> None:
                super().error_received(exc)
                self.seen.append(variable.get())

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                self.seen.append(variable.get())

        variable.set("creation")
        async with endpoint(Reading()) as (transport, protocol):
            with udp() as peer:
                peer.sendto(b"x", name_of(transport))
                await until(lambda: protocol.errors)
            transport.close()
            await until(lambda: protocol.lost)
        assert protocol.seen == ["creation"] * 4

    run(main())


@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux has such sockets")
def test_a_family_that_only_python_can_write_addresses_of(run: Run) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
        sock.bind((0, 0))
        async with endpoint(sock=sock) as (transport, protocol):
            # RTM_GETLINK for all interfaces: a netlink header and an empty description.
            request = struct.pack("=IHHII16x", 32, 18, 0x301, 7, 0)
            transport.sendto(request, (0, 0))
            await until(lambda: protocol.received)
            data, addr = protocol.received[0]
            assert addr == (0, 0)
            assert struct.unpack_from("=IHHI", data)[3] == 7

    run(main())


def test_large_unix_datagrams(run: Run) -> None:
    async def main() -> None:
        near, far = unix_pair()
        with far:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            async with endpoint(sock=near) as (_, protocol):
                content = bytes(range(256)) * 600
                far.send(content)
                far.send(b"small")
                await until(lambda: len(protocol.received) == 2)
                assert protocol.contents == [content, b"small"]

    run(main())


def test_what_is_too_long_to_be_read_is_an_error(run_native: Run) -> None:
    """Stock asyncio delivers the first 256 KiB of it as if they were all."""

    async def main() -> None:
        near, far = unix_pair()
        with far:
            far.setsockopt(socket.SOL_SOCKET, 32, 1 << 20)  # SO_SNDBUFFORCE
            async with endpoint(sock=near) as (_, protocol):
                for content in (b"before", b"x" * 300_000, b"after"):
                    far.send(content)
                await until(lambda: len(protocol.received) == 2)
                assert protocol.contents == [b"before", b"after"]
                assert [str(error) for error in protocol.errors] == ["[Errno 90] Message too long"]

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, 32, 1 << 20)
    except PermissionError:
        pytest.skip("a privileged process alone may send such datagrams")
    run_native(main())
