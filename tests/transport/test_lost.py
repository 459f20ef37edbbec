"""The end of a connection: once, with the right argument, and what is said about it."""

import asyncio
import gc
import logging
import re
import socket
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.loops import Factory, Run, turns, until
from tests.support.protocols import Filling, Recorder

from .peers import attach, connected, gone, pattern, reset, tcp_pair

End = Callable[[asyncio.Transport, socket.socket], object]


def peer_closes(_: asyncio.Transport, peer: socket.socket) -> None:
    peer.close()


def peer_resets(_: asyncio.Transport, peer: socket.socket) -> None:
    reset(peer)


def close(transport: asyncio.Transport, _: socket.socket) -> None:
    transport.close()


def abort(transport: asyncio.Transport, _: socket.socket) -> None:
    transport.abort()


def abort_full(transport: asyncio.Transport, _: socket.socket) -> None:
    transport.write(bytes(5_000_000))
    transport.abort()


def close_full_then_abort(transport: asyncio.Transport, _: socket.socket) -> None:
    transport.write(bytes(5_000_000))
    transport.close()
    transport.abort()


def reset_while_full(transport: asyncio.Transport, peer: socket.socket) -> None:
    transport.write(bytes(5_000_000))
    reset(peer)


def reset_while_draining(transport: asyncio.Transport, peer: socket.socket) -> None:
    transport.write(bytes(5_000_000))
    transport.close()
    reset(peer)


def write_after_reset(transport: asyncio.Transport, peer: socket.socket) -> None:
    transport.pause_reading()
    reset(peer)
    transport.write(b"into the void")
    transport.write(b"more")
    transport.close()


ENDS: dict[End, tuple[type[Exception], ...] | None] = {
    peer_closes: None,
    peer_resets: (ConnectionResetError,),
    close: None,
    abort: None,
    abort_full: None,
    close_full_then_abort: None,
    reset_while_full: (ConnectionResetError, BrokenPipeError),
    reset_while_draining: (ConnectionResetError, BrokenPipeError),
    write_after_reset: (ConnectionResetError, BrokenPipeError),
}


@pytest.mark.parametrize("kind", [Recorder, Filling])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_connection_lost_comes_once(
    run: Run, end: End, kind: type[Recorder] | type[Filling]
) -> None:
    protocol = kind()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            end(transport, peer)
            assert protocol.lost == []
            await until(lambda: protocol.lost)
            await gone(transport)
            # Nothing that comes after the end is heard of.
            transport.close()
            transport.pause_reading()
            transport.resume_reading()
            await turns(10)
            assert transport.is_closing()
            assert transport.get_write_buffer_size() == 0

    run(main())
    assert protocol.calls.count("made") == protocol.calls.count("lost") == 1
    assert protocol.calls[-1] == "lost"
    (error,) = protocol.lost
    expected = ENDS[end]
    if expected is None:
        assert error is None
    else:
        assert isinstance(error, expected)


def test_no_data_comes_after_close(run: Run) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            peer.sendall(b"too late")
            transport.close()
            await gone(transport)

    run(main())
    assert protocol.data == b""
    assert protocol.calls == ["made", "lost"]


class ClosesInData(Recorder):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(b"bye")
        self.transport.close()
        self.transport.write(b"!")


def test_closing_in_data_received(run: Run) -> None:
    protocol = ClosesInData()

    async def main() -> None:
        async with connected(protocol) as (transport, peer):
            peer.sendall(b"data")
            await gone(transport)
            # What is written to a connection on its way out is dropped.
            assert peer.recv(10) == b"bye"

    run(main())
    assert protocol.calls == ["made", "lost"]


def test_writes_to_a_closed_transport_warn_from_the_fifth_on(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            transport.close()
            await gone(transport)
            text = "socket.send() raised exception."
            counts = []
            for _ in range(6):
                transport.write(b"lost")
                transport.write(b"")
                counts.append(caplog.messages.count(text))
            assert counts == [0, 0, 0, 0, 1, 2]
            assert caplog.records[-1].levelno == logging.WARNING
            assert caplog.records[-1].name == "asyncio"
            assert peer.recv(1) == b""

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())


def resource_warnings() -> str:
    """Collect garbage and return what was said of it, a line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    return "\n".join(str(each.message) for each in caught)


def test_an_unclosed_transport_warns_and_closes(factory: Factory) -> None:
    loop = factory()
    near, peer = tcp_pair()
    loop.run_until_complete(attach(near, Recorder()))
    # The loop's watch keeps it alive; without the loop there is nobody.
    loop.close()
    del near
    warned = resource_warnings()
    assert len(re.findall(r"^unclosed transport <\w+ fd=\d+>$", warned, re.MULTILINE)) == 1
    assert peer.recv(1) == b""
    peer.close()


def test_a_closed_transport_is_collected_without_a_warning(run: Run) -> None:
    async def main() -> None:
        near, peer = tcp_pair()
        protocol = Recorder()
        transport = await attach(near, protocol)
        dead = weakref.ref(transport)
        transport.close()
        await gone(transport)
        del transport, protocol
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gc.collect()
            assert dead() is None
        peer.close()

    run(main())


REFUSED: dict[str, Callable[[asyncio.Transport], object]] = {
    "close": lambda transport: transport.close(),
    "abort": lambda transport: transport.abort(),
    "resume_reading": lambda transport: transport.resume_reading(),
    "write": lambda transport: transport.write(bytes(50_000_000)),
}


@pytest.mark.parametrize("method", REFUSED)
def test_a_closed_loop_refuses(factory: Factory, method: str) -> None:
    loop = factory()
    near, peer = tcp_pair()
    transport = loop.run_until_complete(attach(near, Recorder()))
    transport.pause_reading()
    loop.close()
    # What needs no loop still works.
    transport.write(b"alone")
    assert peer.recv(5) == b"alone"
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        REFUSED[method](transport)
    peer.close()
    del transport, near
    assert "unclosed transport" in resource_warnings()


class Listener(logging.Handler):
    """Keeps what is logged as it reads at that moment."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.errors: list[BaseException | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        if record.exc_info:
            self.errors.append(record.exc_info[1])


@pytest.fixture
def log() -> Iterator[Listener]:
    """Listen to everything that asyncio says."""
    logger, listener = logging.getLogger("asyncio"), Listener()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(listener)
    yield listener
    logger.removeHandler(listener)
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (peer_closes, ["<> received EOF"]),
        (peer_resets, ["<>: Fatal read error on socket transport"]),
        (close, []),
    ],
    ids=["peer closes", "peer resets", "close"],
)
def test_debug_mode_logs(run: Run, log: Listener, end: End, last: list[str]) -> None:
    async def main() -> str:
        async with connected(Recorder()) as (transport, peer):
            log.texts.clear()
            transport.pause_reading()
            transport.pause_reading()
            transport.resume_reading()
            end(transport, peer)
            await gone(transport)
            return type(transport).__name__

    name = run(main(), debug=True)
    transport = re.compile(rf"<{name} fd=\d+ read=\w+ write=<idle, bufsize=0>>")
    found = [transport.sub("<>", text) for text in log.texts if transport.match(text)]
    assert found == ["<> pauses reading", "<> resumes reading", *last]
    kinds = [type(error) for error in log.errors]
    assert kinds == ([ConnectionResetError] if end is peer_resets else [])


def test_without_debug_mode_nothing_is_logged(run: Run, log: Listener) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            log.texts.clear()
            transport.pause_reading()
            transport.resume_reading()
            reset(peer)
            await gone(transport)

    run(main())
    assert log.texts == []


def test_the_protocol_is_called_in_the_context_of_the_connection(run_native: Run) -> None:
    import contextvars

    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")
    seen: list[tuple[str, str]] = []

    class Looks(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            seen.append(("made", name.get()))

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            seen.append(("data", name.get()))

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            seen.append(("lost", name.get()))

    async def main() -> None:
        name.set("mine")
        async with connected(Looks()) as (transport, peer):
            name.set("later")
            peer.sendall(pattern(10))
            await until(lambda: len(seen) == 2)
            peer.close()
            await gone(transport)

    run_native(main())
    assert seen == [("made", "mine"), ("data", "mine"), ("lost", "mine")]


def test_an_attribute_is_not_mistaken_for_a_method(run: Run) -> None:
    """A protocol without a method fails where it is called, and loses its connection."""

    class Bare:
        lost: list[Any]

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.lost = []

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.append(exc)

    protocol: Any = Bare()

    async def main() -> None:
        from .peers import reports

        contexts = reports()
        async with connected(protocol) as (_, peer):
            peer.sendall(b"data")
            await until(lambda: protocol.lost)
            (context,) = contexts
            assert isinstance(context["exception"], AttributeError)

    run(main())
    assert isinstance(protocol.lost[0], AttributeError)
