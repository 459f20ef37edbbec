"""Very many datagrams, each of which can be told from every other."""

import asyncio
import gc
import random
import socket
import sys
import threading
from typing import Any

import pytest

from tests.support.loops import Run, until

from .peers import Recorder, endpoint, unix_pair

FLOOD = 100_000


def content(number: int) -> bytes:
    """Return what no other number has, in a length of its own."""
    head = number.to_bytes(4, "big")
    return head + bytes([number % 251]) * (number * 7919 % 90)


class Checking(Recorder):
    """Counts what comes, and sees that it comes whole and in order."""

    arrived = 0

    def datagram_received(self, data: bytes, addr: Any) -> None:
        assert data == content(self.arrived)
        self.arrived += 1


class Sending(Checking):
    """Sends a flood as fast as it may."""

    sent = 0
    may_send = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        asyncio.get_running_loop().call_soon(self.go_on)

    def go_on(self) -> None:
        for _ in range(100):
            if self.sent == FLOOD or not self.may_send:
                return
            self.transport.sendto(content(self.sent))
            self.sent += 1
        asyncio.get_running_loop().call_soon(self.go_on)

    def pause_writing(self) -> None:
        self.may_send = False

    def resume_writing(self) -> None:
        self.may_send = True
        self.go_on()


@pytest.mark.slow
def test_a_flood_both_ways(run_native: Run) -> None:
    async def main() -> None:
        near, far = unix_pair()
        far.setblocking(False)
        async with (
            endpoint(Sending(), sock=near) as (_, one),
            endpoint(Sending(), sock=far) as (_, other),
        ):
            await until(lambda: one.errors or one.arrived == other.arrived == FLOOD)
            assert one.errors == other.errors == []

    run_native(main())


@pytest.mark.slow
def test_a_flood_against_a_raw_socket(run_native: Run) -> None:
    async def main() -> None:
        near, far = unix_pair()
        seen: list[int] = []

        def read() -> None:
            for number in range(FLOOD):
                if far.recv(4096) != content(number):
                    return
                seen.append(number)

        reader = threading.Thread(target=read)
        with far:
            reader.start()
            async with endpoint(Sending(), sock=near):
                await asyncio.to_thread(reader.join)
            assert len(seen) == FLOOD

    run_native(main())


def test_pauses_at_random_lose_nothing(run_native: Run) -> None:
    async def main() -> None:
        chance = random.Random(5)
        loop = asyncio.get_running_loop()

        class Moody(Checking):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                super().datagram_received(data, addr)
                if chance.random() < 0.1:
                    self.transport.pause_reading()
                    loop.call_later(chance.random() / 1000, self.transport.resume_reading)

        near, far = unix_pair()
        far.setblocking(False)
        async with endpoint(Moody(), sock=near) as (_, protocol):
            sent = 0
            while protocol.arrived < 2000:
                try:
                    while sent < 2000:
                        far.send(content(sent))
                        sent += 1
                except BlockingIOError:
                    pass
                await asyncio.sleep(0)
        far.close()

    run_native(main())


def test_no_object_is_left_behind(run_native: Run) -> None:
    async def main() -> None:
        class Back(Recorder):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                self.transport.sendto(data, addr)

        class Client(Recorder):
            left = 0

            def datagram_received(self, data: bytes, addr: Any) -> None:
                self.left -= 1
                if self.left > 0:
                    self.transport.sendto(b"%d" % self.left)

        async with endpoint(Back()) as (server, _):
            address = server.get_extra_info("sockname")
            async with endpoint(Client(), remote_addr=address) as (client, protocol):

                async def exchange(count: int) -> int:
                    protocol.left = count
                    client.sendto(b"begin")
                    await until(lambda: protocol.left == 0)
                    gc.collect()
                    return sys.getallocatedblocks()

                await exchange(500)
                before = await exchange(500)
                assert await exchange(2000) - before < 500

    run_native(main())


def test_peers_do_not_cross(run_native: Run) -> None:
    """Each of many clients gets back what it sent, nothing else, over IPv4 and IPv6."""

    async def main() -> None:
        class Back(Recorder):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                self.transport.sendto(data, addr)

        class Client(Recorder):
            def __init__(self, number: int) -> None:
                super().__init__()
                self.number = number
                self.turn = 0

            def question(self) -> bytes:
                return b"%d:%d" % (self.number, self.turn)

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                self.transport.sendto(self.question())

            def datagram_received(self, data: bytes, addr: Any) -> None:
                assert data == self.question()
                self.turn += 1
                if self.turn < 30:
                    self.transport.sendto(self.question())

        loop = asyncio.get_running_loop()

        async def converse(host: str, family: int) -> None:
            async with endpoint(Back(), local_addr=(host, 0), family=family) as (server, _):
                address = server.get_extra_info("sockname")[:2]
                clients = [
                    await loop.create_datagram_endpoint(
                        lambda number=number: Client(number), remote_addr=address
                    )
                    for number in range(100)
                ]
                await until(lambda: all(client.turn == 30 for _, client in clients))
                for transport, _ in clients:
                    transport.close()
                await until(lambda: all(client.lost for _, client in clients))

        await converse("127.0.0.1", socket.AF_INET)
        await converse("::1", socket.AF_INET6)

    run_native(main())
