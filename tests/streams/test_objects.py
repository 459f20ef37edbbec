"""Readers, writers and protocols as objects: names, attributes, representation, their end."""

import asyncio
import gc
import inspect
import sys
import warnings
import weakref
from typing import Any
from unittest import mock

import ouroloop
import pytest

from tests.support.loops import HOST, Run

from .conftest import STOCK, WORLDS, World, serving, turn
from .test_connections import connected, echo


@pytest.fixture
def reader(world: World, loop: asyncio.AbstractEventLoop) -> Any:
    """A reader that nobody feeds."""
    return world.StreamReader(loop=loop)


def shown(world: World) -> list[str]:
    """The representation of a reader and a writer in many states."""
    loop = mock.Mock(spec=["get_debug", "create_future"])
    loop.get_debug.return_value = False

    class Transport:
        def __repr__(self) -> str:
            return "<Transport>"

        def is_closing(self) -> bool:
            return True

    reader = world.StreamReader(limit=7, loop=loop)
    views = [repr(reader)]
    reader.feed_data(b"data")
    views.append(repr(reader))
    reader.set_transport(Transport())
    reader._paused = True
    views.append(repr(reader))
    reader.feed_eof()
    reader.set_exception(OSError("gone"))
    views.append(repr(reader))
    views.append(repr(world.StreamReader(loop=loop)))
    views.append(repr(world.StreamReader(2**16, loop)))
    views.append(repr(world.StreamReader(float("inf"), loop)))
    writer = world.StreamWriter(Transport(), None, reader, loop)
    views.append(repr(writer))
    views.append(repr(world.StreamWriter(Transport(), None, None, loop)))
    return views


def test_representations() -> None:
    expected = shown(STOCK)
    assert expected[1] == "<StreamReader 4 bytes limit=7>"
    assert all(shown(world) == expected for world in WORLDS.values())


def test_they_are_instances_of_the_standard_classes(world: World, run: Run) -> None:
    async def main() -> None:
        async with connected(world, echo) as (reader, writer):
            assert isinstance(reader, asyncio.StreamReader)
            assert isinstance(writer, asyncio.StreamWriter)
            assert isinstance(writer._protocol, asyncio.StreamReaderProtocol)
            assert isinstance(writer._protocol, asyncio.Protocol)

    run(main())


@pytest.mark.parametrize("limit", [0, -1, -0.5])
def test_limits_are_positive(world: World, loop: asyncio.AbstractEventLoop, limit: Any) -> None:
    with pytest.raises(ValueError, match=r"^Limit cannot be <= 0$"):
        world.StreamReader(limit, loop)
    with pytest.raises(TypeError):
        world.StreamReader("many", loop)


def test_no_limit_is_no_limit(world: World, run: Run) -> None:
    message = r"^'<=' not supported between instances of 'NoneType' and 'int'$"

    async def main() -> None:
        with pytest.raises(TypeError, match=message):
            world.StreamReader(limit=None)
        with pytest.raises(TypeError, match=message):
            await world.open_connection("127.0.0.1", 9, limit=None)

    run(main())
    expected = "(limit=65536, loop=None)"
    assert str(inspect.signature(world.StreamReader)) == expected


def test_arguments_by_name(run: Run, world: World) -> None:
    async def main() -> None:
        reader = world.StreamReader(limit=100, loop=asyncio.get_running_loop())
        reader.feed_data(b"abcdef|gh\n")
        assert await reader.read(n=2) == b"ab"
        assert await reader.readexactly(n=2) == b"cd"
        assert await reader.readuntil(separator=b"|") == b"ef|"
        assert await reader.readline() == b"gh\n"
        for call in (
            lambda: reader.read(1, 2),
            lambda: reader.read(size=1),
            lambda: reader.read(1, n=1),
            reader.readexactly,
            lambda: reader.readline(1),
        ):
            with pytest.raises(TypeError):
                call()

    run(main())


def test_nothing_happens_before_the_first_step(world: World, run: Run) -> None:
    async def main() -> None:
        reader = world.StreamReader(loop=asyncio.get_running_loop())
        first, second = reader.read(10), reader.read(10)
        assert inspect.isawaitable(first)
        assert asyncio.iscoroutine(first)
        reader.feed_data(b"data")
        assert await second == b"data"
        reader.feed_data(b"more")
        assert await first == b"more"

    run(main())


def test_the_buffer_is_a_bytearray_that_programs_change(
    world: World, loop: asyncio.AbstractEventLoop, reader: Any
) -> None:
    reader.feed_data(b"abc")
    buffer = reader._buffer
    assert isinstance(buffer, bytearray)
    assert buffer == b"abc"
    reader.feed_data(b"def")
    assert buffer == b"abcdef"
    del buffer[:2]
    buffer.extend(b"!")
    assert loop.run_until_complete(reader.read(3)) == b"cde"
    assert reader._buffer is buffer
    assert buffer == b"f!"
    buffer.clear()
    del buffer
    reader.feed_data(b"new")
    assert len(reader._buffer) == 3
    assert reader._buffer == b"new"
    reader._buffer.clear()
    reader.feed_eof()
    assert reader.at_eof()


def test_a_view_of_the_buffer_keeps_it_as_it_is(
    loop: asyncio.AbstractEventLoop, reader: Any
) -> None:
    reader.feed_data(b"abc")
    with memoryview(reader._buffer), pytest.raises(BufferError):
        reader.feed_data(b"def")
    reader.feed_data(b"ghi")
    assert loop.run_until_complete(reader.read(9)) == b"abcghi"


def test_private_attributes_can_be_set(reader: Any, loop: asyncio.AbstractEventLoop) -> None:
    transport = mock.Mock()
    reader._transport, reader._paused, reader._limit = transport, True, 10
    reader._maybe_resume_transport()
    transport.resume_reading.assert_called_once_with()
    assert reader._paused is False
    reader.feed_data(bytes(21))
    transport.pause_reading.assert_called_once_with()
    assert reader._paused is True
    reader._eof = True
    with pytest.raises(AssertionError, match=r"^feed_data after feed_eof$"):
        reader.feed_data(b"")
    waiter = reader._waiter = loop.create_future()
    reader._wakeup_waiter()
    assert waiter.result() is None
    assert reader._waiter is None
    reader._exception = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        loop.run_until_complete(reader.read())
    assert reader._loop is loop
    with pytest.raises(AssertionError, match=r"^Transport already set$"):
        reader.set_transport(mock.Mock())


def test_where_a_reader_was_made(world: World) -> None:
    loop = world.new_loop()
    assert world.StreamReader(loop=loop)._source_traceback is None
    loop.set_debug(True)
    reader = world.StreamReader(loop=loop)
    assert reader._source_traceback[-1].name == "test_where_a_reader_was_made"
    protocol = world.StreamReaderProtocol(reader, loop=loop)
    assert protocol._source_traceback is reader._source_traceback
    loop.close()


def test_the_loop_is_found_where_none_is_given(world: World, run: Run) -> None:
    async def main() -> None:
        assert world.StreamReader()._loop is asyncio.get_running_loop()
        protocol = world.StreamReaderProtocol(None)
        assert protocol._loop is asyncio.get_running_loop()
        assert protocol._stream_reader is None

    run(main())


def test_a_writer_needs_a_reader(world: World, loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(AssertionError):
        world.StreamWriter(mock.Mock(), mock.Mock(), object(), loop)
    writer = world.StreamWriter(mock.Mock(), mock.Mock(), None, loop)
    assert writer._complete_fut.result() is None
    assert writer._reader is None


def test_an_unclosed_writer_says_so(world: World, run: Run) -> None:
    if not hasattr(asyncio.StreamWriter, "__del__"):
        pytest.skip("this release closes in silence")

    async def main() -> None:
        async with serving(world.start_server, echo) as port:
            _, writer = await world.open_connection(HOST, port)
            transport, protocol = writer.transport, writer._protocol
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                del writer
                gc.collect()
            assert [str(warning.message)[:31] for warning in caught] == [
                "unclosed <StreamWriter transport"[:31]
            ]
            assert caught[0].category is ResourceWarning
            assert transport.is_closing()
            await protocol._get_close_waiter(None)

    run(main())


def test_streams_are_collected(world: World, run: Run) -> None:
    async def main() -> list[weakref.ref[Any]]:
        async with connected(world, echo) as (reader, writer):
            reader.itself = writer.itself = [reader, writer, writer._protocol]
            writer._protocol.itself = reader.itself
            writer.write(b"abc")
            await reader.read(1)
            return [weakref.ref(each) for each in reader.itself]

    references = run(main())
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_a_reader_that_waits_is_collected_with_its_task(world: World) -> None:
    loop = world.new_loop()
    reader = world.StreamReader(loop=loop)
    task = loop.create_task(reader.read())
    turn(loop)
    reader.task = task
    reference = weakref.ref(reader)
    # A task that goes while it waits is reported.
    loop.set_exception_handler(lambda *_: None)
    del reader, task
    gc.collect()
    assert reference() is None
    loop.close()


def test_the_end_of_a_lost_connection_is_not_reported(world: World, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        protocol = world.StreamReaderProtocol(world.StreamReader(loop=loop), loop=loop)
        protocol.connection_made(mock.Mock())
        protocol.connection_lost(OSError("gone"))
        closed = protocol._closed
        assert isinstance(closed.exception(), OSError)
        del protocol, closed
        gc.collect()

    run(main())


def test_objects_without_their_init(world: World) -> None:
    for name in ("StreamReader", "StreamWriter", "StreamReaderProtocol"):
        kind = getattr(world, name)
        bare = kind.__new__(kind)
        with pytest.raises(AttributeError, match="_loop"):
            _ = bare._loop
        # asyncio's own writer complains from its __del__.
        if name == "StreamWriter" and world.StreamWriter is asyncio.StreamWriter:
            bare._transport = mock.Mock()


def test_protocol_names_of_this_release(world: World, loop: asyncio.AbstractEventLoop) -> None:
    protocol = world.StreamReaderProtocol(None, loop=loop)
    for name in ("_replace_writer", "_replace_transport"):
        assert hasattr(protocol, name) is hasattr(asyncio.StreamReaderProtocol, name)


def test_install_gives_native_streams() -> None:
    ouroloop.install()
    try:
        for name in ("StreamReader", "StreamWriter", "start_server", "open_unix_connection"):
            assert getattr(asyncio, name) is getattr(ouroloop, name)
            assert getattr(asyncio.streams, name) is getattr(ouroloop, name)
        assert issubclass(STOCK.StreamReader, asyncio.StreamReader)
    finally:
        ouroloop.uninstall()
    assert asyncio.StreamReader is STOCK.StreamReader
    assert sys.modules["asyncio.streams"].StreamReader is STOCK.StreamReader  # type: ignore[attr-defined]
