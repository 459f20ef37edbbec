"""Flow control: the marks, and when a protocol is paused and resumed."""

import asyncio
import socket

import pytest

from tests.support.loops import Run, turns, until
from tests.support.protocols import Life, Recorder

from .peers import connected, pattern, read_exactly, reports

SOME = 1_000_000


def test_the_limits(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, _):
            limits = transport.get_write_buffer_limits
            assert limits() == (16 * 1024, 64 * 1024)
            transport.set_write_buffer_limits(1000)
            assert limits() == (250, 1000)
            transport.set_write_buffer_limits(low=100)
            assert limits() == (100, 400)
            transport.set_write_buffer_limits(high=7, low=7)
            assert limits() == (7, 7)
            transport.set_write_buffer_limits(0)
            assert limits() == (0, 0)
            transport.set_write_buffer_limits()
            assert limits() == (16 * 1024, 64 * 1024)

    run(main())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"high": 1, "low": 2}, "high (1) must be >= low (2) must be >= 0"),
        ({"high": -1}, "high (-1) must be >= low (-1) must be >= 0"),
        ({"low": -1}, "high (-4) must be >= low (-1) must be >= 0"),
        ({"high": 5, "low": -5}, "high (5) must be >= low (-5) must be >= 0"),
    ],
)
def test_refused_limits_change_nothing(run: Run, arguments: dict[str, int], message: str) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, _):
            transport.set_write_buffer_limits(high=40, low=30)
            with pytest.raises(ValueError, match="must be") as error:
                transport.set_write_buffer_limits(**arguments)
            assert str(error.value) == message
            assert transport.get_write_buffer_limits() == (30, 40)

    run(main())


async def fill(transport: asyncio.Transport, peer: socket.socket) -> int:
    """Write until the kernel takes no more; answer how much was written in all."""
    written = 0
    while transport.get_write_buffer_size() == 0:
        transport.write(bytes(65536))
        written += 65536
        await asyncio.sleep(0)
    return written


def test_the_size_of_the_buffer(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder(), small=True) as (transport, peer):
            transport.write(b"small")
            assert transport.get_write_buffer_size() == 0
            assert await read_exactly(peer, 5) == b"small"
            written = await fill(transport, peer)
            before = transport.get_write_buffer_size()
            transport.write(b"12345")
            transport.writelines([b"678", b"9"])
            assert transport.get_write_buffer_size() <= before + 9
            assert transport.get_write_buffer_size() >= 9
            received = await read_exactly(peer, written + 9)
            assert received == bytes(written) + b"123456789"
            await until(lambda: transport.get_write_buffer_size() == 0)

    run(main())


def test_pause_and_resume_alternate(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            data = pattern(SOME)
            for round_ in (1, 2, 3):
                transport.write(data)
                assert transport.get_write_buffer_size() > 64 * 1024
                assert protocol.calls == ["made", *["pause", "resume"] * (round_ - 1), "pause"]
                transport.write(data)
                assert protocol.calls[-2:] != ["pause", "pause"]
                reading = asyncio.ensure_future(read_exactly(peer, 2 * SOME))
                await until(lambda: protocol.calls[-1] == "resume")
                assert transport.get_write_buffer_size() <= 16 * 1024
                assert await reading == data + data

    run(main())
    assert protocol.calls == ["made", *["pause", "resume"] * 3, "lost"]


def test_a_peer_that_does_not_read_keeps_it_paused(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, _):
            transport.write(bytes(SOME))
            await turns(50)
            assert protocol.calls == ["made", "pause"]
            waiting = transport.get_write_buffer_size()
            transport.write(b"more")
            assert transport.get_write_buffer_size() <= waiting + 4
            await turns(50)
            assert protocol.calls == ["made", "pause"]

    run(main())
    assert protocol.calls == ["made", "pause", "lost"]


def test_a_high_mark_of_zero(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            transport.set_write_buffer_limits(high=0)
            # What the kernel takes at once does not wait, so there is nothing to pause for.
            transport.write(b"a")
            assert protocol.calls == ["made"]
            transport.write(bytes(SOME))
            assert protocol.calls == ["made", "pause"]
            reading = asyncio.ensure_future(read_exactly(peer, SOME + 1))
            await until(lambda: protocol.calls[-1] == "resume")
            assert transport.get_write_buffer_size() == 0
            assert len(await reading) == SOME + 1

    run(main())
    assert protocol.calls == ["made", "pause", "resume", "lost"]


def test_lower_limits_pause_at_once(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            transport.set_write_buffer_limits(high=100 * SOME)
            transport.write(bytes(SOME))
            assert protocol.calls == ["made"]
            transport.set_write_buffer_limits(high=1000)
            assert protocol.calls == ["made", "pause"]
            reading = asyncio.ensure_future(read_exactly(peer, SOME))
            await until(lambda: protocol.calls[-1] == "resume")
            await reading

    run(main())


class Writes(Recorder):
    """Writes when it is resumed, as streams do by way of ``drain``."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.rounds:
            self.rounds -= 1
            self.transport.write(pattern(SOME))


def test_writing_while_resumed(run: Run) -> None:
    protocol = Writes(4)

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            transport.write(pattern(SOME))
            received = await read_exactly(peer, 5 * SOME)
            assert received == pattern(SOME) * 5
            await until(lambda: protocol.calls.count("resume") == 5)

    run(main())
    assert protocol.calls == ["made", *["pause", "resume"] * 5, "lost"]


class Closes(Recorder):
    """Ends the connection when it is paused."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def pause_writing(self) -> None:
        super().pause_writing()
        getattr(self.transport, self.method)()


@pytest.mark.parametrize("method", ["close", "abort"])
def test_ending_while_paused(run: Run, method: str) -> None:
    protocol = Closes(method)

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, peer):
            transport.write(pattern(SOME))
            assert transport.is_closing()
            if method == "close":
                assert await read_exactly(peer, SOME) == pattern(SOME)
            await until(lambda: protocol.lost)

    run(main())
    assert protocol.lost == [None]
    # Whoever waits for `drain` is told before the end, if what waited has left.
    resumed = ["resume"] if method == "close" else []
    assert protocol.calls == ["made", "pause", *resumed, "lost"]


class Raising(Life, asyncio.Protocol):
    def pause_writing(self) -> None:
        super().pause_writing()
        raise ValueError("pause")

    def resume_writing(self) -> None:
        super().resume_writing()
        raise ValueError("resume")


def test_errors_of_the_protocol_are_reported_and_harmless(run: Run) -> None:
    protocol = Raising()

    async def main() -> None:
        contexts = reports()
        async with connected(protocol, small=True) as (transport, peer):
            transport.write(pattern(SOME))
            reading = asyncio.ensure_future(read_exactly(peer, SOME))
            await until(lambda: len(contexts) == 2)
            assert await reading == pattern(SOME)
            assert not transport.is_closing()
            for context, name in zip(contexts, ("pause", "resume"), strict=True):
                assert context["message"] == f"protocol.{name}_writing() failed"
                assert repr(context["exception"]) == f"ValueError('{name}')"
                assert context["transport"] is transport
                assert context["protocol"] is protocol
            # The flow goes on as if nothing had been raised.
            transport.write(pattern(SOME))
            reading = asyncio.ensure_future(read_exactly(peer, SOME))
            await until(lambda: len(contexts) == 4)
            await reading

    run(main())
    assert protocol.calls == ["made", *["pause", "resume"] * 2, "lost"]


class Exits(Life, asyncio.Protocol):
    def pause_writing(self) -> None:
        raise SystemExit(3)


def test_an_exit_of_the_protocol_leaves_the_loop(run: Run) -> None:
    protocol = Exits()

    async def main() -> None:
        async with connected(protocol, small=True) as (transport, _):
            with pytest.raises(SystemExit):
                transport.write(bytes(SOME))

    run(main())
    assert protocol.lost == [None]
