"""Nothing that comes is forgotten, however it comes: a read is made for what is new, not for what is there."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.loops import Factory, Run, until
from tests.support.protocols import Filling, Recorder

from .peers import attach, connected, gone, pattern, tcp_pair

PROTOCOLS: dict[str, Callable[[], Any]] = {
    "plain": Recorder,
    "buffered": lambda: Filling(lambda: bytearray(4096)),
    "buffered, as large as what comes": lambda: Filling(lambda: bytearray(6)),
}


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return PROTOCOLS[request.param]()


def test_bytes_behind_urgent_data_come(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with connected(protocol) as (_, peer):
            peer.sendall(b"before")
            peer.send(b"!", socket.MSG_OOB)
            peer.sendall(b"behind")
            await until(lambda: protocol.data == b"beforebehind")
            peer.sendall(b"later")
            await until(lambda: protocol.data == b"beforebehindlater")

    run(main())


def test_an_end_that_comes_with_bytes_is_told(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            peer.sendall(b"last words")
            peer.close()
            await gone(transport)

    run(main())
    assert protocol.data == b"last words"
    assert protocol.calls == ["made", "eof", "lost"]


def test_what_came_while_reading_was_paused_comes(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            for piece in (b"first", b"second", b"third"):
                transport.pause_reading()
                peer.sendall(piece)
                transport.resume_reading()
                # Found readable in the same turn in which reading is paused again.
                asyncio.get_running_loop().call_soon(transport.pause_reading)
                asyncio.get_running_loop().call_soon(transport.resume_reading)
                await until(lambda piece=piece: protocol.data.endswith(piece))

    run(main())
    assert protocol.data == b"firstsecondthird"


def test_bytes_wait_for_a_protocol_that_was_interrupted(factory: Factory) -> None:
    class Interrupted(Filling):
        interruptions = 1

        def get_buffer(self, sizehint: int) -> Any:
            if self.interruptions:
                self.interruptions -= 1
                raise KeyboardInterrupt
            return super().get_buffer(sizehint)

    protocol = Interrupted()
    near, peer = tcp_pair()
    loop = factory()
    with peer:
        transport = loop.run_until_complete(attach(near, protocol))
        peer.sendall(b"patient")
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        loop.run_until_complete(until(lambda: protocol.data == b"patient"))
        transport.abort()
        loop.run_until_complete(gone(transport))
    loop.close()


def test_more_than_a_read_takes_comes(run: Run, protocol: Any) -> None:
    sent = pattern(1 << 20)

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            await asyncio.to_thread(peer.sendall, sent)
            await until(lambda: len(protocol.data) == len(sent))
            transport.pause_reading()
            peer.sendall(b"more")
            transport.resume_reading()
            await until(lambda: protocol.data.endswith(b"more"))

    if isinstance(protocol, Filling):
        size = len(protocol.room()) * 64
        protocol.room = lambda: bytearray(size)
    run(main())
    assert protocol.data == sent + b"more"
