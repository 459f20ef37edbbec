"""A `BufferedProtocol` over TLS: what it is asked, and when."""

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import Factory, Run, reporting_runner_of, turns, until
from tests.support.protocols import Echo, Recorder

from .peers import ByHand, Refilling, connect, serving

MESSAGE = b"0123456789" * 30


class Asked(Refilling):
    """Keeps the hints, and how much waited, as each look at the buffer found them."""

    def __init__(self, size: int = 1000) -> None:
        super().__init__(size)
        self.hints: list[int] = []
        self.waiting: list[int] = []

    def get_buffer(self, sizehint: int) -> Any:
        self.hints.append(sizehint)
        self.waiting.append(self.transport.get_read_buffer_size())  # type: ignore[attr-defined]
        return super().get_buffer(sizehint)


async def by_hand(
    contexts: Contexts, address: tuple[str, int], made: list[Any]
) -> tuple[ByHand, Any]:
    """Connect a peer whose records are the test's choice; give it and the protocol it talks to."""
    loop = asyncio.get_running_loop()
    sock = await loop.run_in_executor(None, socket.create_connection, address)
    peer = ByHand(contexts, sock, server_side=False)
    await peer.handshake()
    await until(lambda: made and made[0].calls)
    return peer, made[0]


@pytest.mark.parametrize("size", [7, 1000, 100_000])
def test_buffered_protocols(run: Run, contexts: Contexts, size: int) -> None:
    async def main() -> None:
        data = b"0123456789" * 20_000
        async with serving(contexts, lambda: Refilling(size)) as (address, made):
            client = await connect(contexts, Recorder, address)
            client.transport.write(data)
            await until(lambda: made and len(made[0].data) >= len(data))
            assert made[0].data == data
            client.transport.close()
            await until(lambda: client.lost)
            assert made[0].calls == ["made", "eof", "lost"]

    run(main())


def test_the_hint_is_how_much_ciphertext_waits(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, lambda: Asked(100)) as (address, made):
            peer, protocol = await by_hand(contexts, address, made)
            protocol.hints.clear()
            protocol.waiting.clear()
            peer.tls.write(MESSAGE)
            record = peer.outgoing.pending
            await peer.send()
            await until(lambda: len(protocol.data) == len(MESSAGE))
            assert protocol.data == MESSAGE
            # The record is taken as a whole; what the buffer had no room for waits decrypted.
            assert protocol.hints == protocol.waiting == [record, 0, 0, 0]
            peer.close()

    run(main())


def test_records_that_come_in_pieces(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Asked) as (address, made):
            peer, protocol = await by_hand(contexts, address, made)
            protocol.hints.clear()
            peer.tls.write(MESSAGE)
            records = peer.outgoing.read()
            pieces = [records[start : start + 50] for start in range(0, len(records), 50)]
            for number, piece in enumerate(pieces, 1):
                peer.sock.send(piece)
                await until(lambda number=number: len(protocol.hints) == number)  # type: ignore[misc]
            assert protocol.data == MESSAGE
            assert protocol.hints == [len(piece) for piece in pieces]
            peer.close()

    run(main())


def test_writing_while_asked_for_the_buffer(run: Run, contexts: Contexts) -> None:
    class Talkative(Refilling):
        def get_buffer(self, sizehint: int) -> Any:
            self.transport.write(b"go on;")
            return super().get_buffer(sizehint)

    async def main() -> None:
        async with serving(contexts, Talkative) as (address, made):
            client = await connect(contexts, Recorder, address)
            client.transport.write(MESSAGE)
            await until(lambda: made and made[0].data == MESSAGE)
            await until(lambda: client.data)
            assert set(client.data.split(b";")) == {b"go on", b""}
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


def test_the_object_reads_while_asked_for_the_buffer(run: Run, contexts: Contexts) -> None:
    class Peeking(Refilling):
        first = b""

        def get_buffer(self, sizehint: int) -> Any:
            tls = self.transport.get_extra_info("ssl_object")
            if not self.first:
                try:
                    self.first = tls.read(4)
                except ssl.SSLWantReadError:
                    assert not self.data
            return super().get_buffer(sizehint)

    async def main() -> None:
        async with serving(contexts, Peeking) as (address, made):
            peer, protocol = await by_hand(contexts, address, made)
            peer.tls.write(MESSAGE)
            await peer.send()
            await until(lambda: len(protocol.data) == len(MESSAGE) - 4)
            assert protocol.first + protocol.data == MESSAGE
            peer.close()

    run(main())


@pytest.mark.parametrize("ending", ["close", "abort"])
def test_an_end_while_asked_for_the_buffer(run: Run, contexts: Contexts, ending: str) -> None:
    class Ending(Refilling):
        ended = False

        def get_buffer(self, sizehint: int) -> Any:
            if sizehint > len(MESSAGE) and not self.ended:
                self.ended = True
                getattr(self.transport, ending)()
            return super().get_buffer(sizehint)

    async def main() -> None:
        async with serving(contexts, lambda: Ending(10_000)) as (address, made):
            peer, protocol = await by_hand(contexts, address, made)
            peer.tls.write(MESSAGE)
            await peer.send()
            await until(lambda: protocol.ended)
            # A close reads what there is, into the same memory, before it says goodbye.
            assert protocol.data == MESSAGE
            peer.close()
            await until(lambda: protocol.lost)
            assert protocol.calls[-1] == "lost"
            assert protocol.calls.count("eof") <= 1

    run(main())


class Refusing(Refilling):
    """Has no buffer once there is data."""

    def get_buffer(self, sizehint: int) -> Any:
        if sizehint > len(MESSAGE):
            raise LookupError("no buffer")
        return super().get_buffer(sizehint)


class ReadOnly(Refilling):
    """Has a buffer that cannot be written to."""

    def get_buffer(self, sizehint: int) -> Any:
        return bytes(10) if sizehint > len(MESSAGE) else super().get_buffer(sizehint)


@pytest.mark.parametrize(("kind", "error"), [(Refusing, LookupError), (ReadOnly, TypeError)])
def test_no_buffer(
    factory: Factory, contexts: Contexts, kind: type[Refilling], error: type[Exception]
) -> None:
    async def main() -> Any:
        async with serving(contexts, kind) as (address, made):
            peer, protocol = await by_hand(contexts, address, made)
            peer.tls.write(MESSAGE)
            await peer.send()
            await until(lambda: protocol.lost)
            peer.close()
            return protocol.lost[0]

    lost, reported = reporting_runner_of(factory)(main())
    assert type(lost) is error
    assert [context["message"] for context in reported] == ["Fatal error on SSL protocol"]
    assert reported[0]["exception"] is lost


def test_a_protocol_that_becomes_buffered(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            client.transport.write(MESSAGE)
            await until(lambda: client.data == MESSAGE)
            buffered = Refilling(70)
            client.transport.set_protocol(buffered)
            client.transport.write(MESSAGE)
            await until(lambda: len(buffered.data) == len(MESSAGE))
            assert buffered.data == MESSAGE
            client.transport.close()
            await until(lambda: buffered.lost)

    run(main())


class Synchronous(asyncio.Transport):
    """A transport whose peer is in the same process, and may answer within a call of ``write``."""

    _start_tls_compatible = True

    def __init__(self, contexts: Contexts) -> None:
        super().__init__()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.peer = contexts.server().wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.protocol: Any = None
        self.answers: list[bytes] = []

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        self.incoming.write(bytes(data))
        if self.peer.version() is None or self.outgoing.pending:
            asyncio.get_running_loop().call_soon(self.shake)
        elif self.answers:
            self.peer.write(self.answers.pop(0))
            self.give()

    def shake(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.peer.do_handshake()
        self.give()

    def give(self) -> None:
        data = self.outgoing.read()
        if data:
            self.protocol.get_buffer(-1)[: len(data)] = data
            self.protocol.buffer_updated(len(data))

    def abort(self) -> None:
        self.protocol.connection_lost(None)

    def _force_close(self, _exc: BaseException | None) -> None:
        self.abort()

    close = abort


@pytest.mark.parametrize("size", [7, 100, 100_000])
def test_more_that_comes_while_asked_for_the_buffer(
    run: Run, contexts: Contexts, size: int
) -> None:
    class Asking(Refilling):
        asks = 0

        def get_buffer(self, sizehint: int) -> Any:
            if sizehint > len(MESSAGE) and self.asks:
                self.asks -= 1
                self.transport.write(b"more")
            # Not the same memory twice: one answer is read while another is.
            self.buffer = memoryview(bytearray(size))
            return self.buffer

    async def main() -> None:
        lower = Synchronous(contexts)
        protocol = Asking()
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(lower, protocol, contexts.client(), server_hostname=NAME)
        assert transport is not None
        protocol.transport = transport
        await turns()
        lower.answers = [b"b" * 500, b"c" * 500]
        protocol.asks = 2
        for record in (b"1", b"2", b"3"):
            lower.peer.write(record * 500)
        lower.give()
        expected = b"".join(record * 500 for record in (b"1", b"2", b"3", b"b", b"c"))
        await until(lambda: len(protocol.data) == len(expected))
        assert protocol.data == expected
        assert not protocol.asks
        transport.abort()
        await until(lambda: protocol.lost)

    run(main())
