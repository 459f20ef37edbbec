"""Write ends: order, flow control, half closes and readers that go."""

import asyncio
import fcntl
import gc
import logging
import os
import pty
import re
import socket
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.loops import Factory, Run, until

from .ends import Recorder, pipe, writing


def read_all(fd: int) -> bytes:
    found = b""
    while piece := os.read(fd, 65536):
        found += piece
    return found


def test_writes_arrive_in_order(run: Run) -> None:
    pieces: list[Any] = [b"a", bytearray(b"bc"), memoryview(b"def"), b"", b"x" * 300_000]
    pieces += [bytearray(b"y" * 200_000), memoryview(b"z" * 50_000), b"end"]

    async def main() -> bytes:
        reader, writer = pipe()
        protocol = await writing(writer)
        transport = protocol.transport
        assert isinstance(transport, asyncio.WriteTransport)
        assert transport.get_extra_info("pipe") is writer
        assert transport.can_write_eof()
        got = asyncio.ensure_future(asyncio.to_thread(read_all, reader.fileno()))
        for piece in pieces:
            transport.write(piece)
        pieces[5][:] = b"!" * 200_000
        transport.writelines([b"1", b"2"])
        transport.write_eof()
        transport.write_eof()
        await until(lambda: protocol.lost)
        assert protocol.lost == [None]
        assert writer.closed
        answer = await got
        reader.close()
        return answer

    expected = b"abcdef" + b"x" * 300_000 + b"y" * 200_000 + b"z" * 50_000 + b"end12"
    assert run(main())[0] == expected


def test_the_protocol_is_paused_and_resumed(run: Run) -> None:
    async def main() -> Recorder:
        reader, writer = pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        protocol = await writing(writer)
        transport = protocol.transport
        transport.set_write_buffer_limits(high=10_000)
        assert transport.get_write_buffer_limits() == (2500, 10_000)
        transport.write(b"x" * 12_000)
        assert protocol.calls == ["made"]
        assert transport.get_write_buffer_size() == 12_000 - 4096
        transport.write(b"y" * 12_000)
        assert protocol.calls == ["made", "pause"]
        assert transport.get_write_buffer_size() == 24_000 - 4096
        transport.close()
        data = await asyncio.to_thread(read_all, reader.fileno())
        assert data == b"x" * 12_000 + b"y" * 12_000
        await until(lambda: protocol.lost)
        reader.close()
        return protocol

    assert run(main())[0].calls == ["made", "pause", "resume", "lost"]


@pytest.mark.parametrize("waiting", [0, 100_000])
def test_a_reader_that_goes(run: Run, waiting: int) -> None:
    async def main() -> Recorder:
        reader, writer = pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        protocol = await writing(writer)
        protocol.transport.write(b"x" * waiting)
        reader.close()
        await until(lambda: protocol.lost)
        assert protocol.transport.get_write_buffer_size() == 0
        return protocol

    protocol, reported = run(main())
    (error,) = protocol.lost
    assert isinstance(error, BrokenPipeError) if waiting else error is None
    assert reported == []


def test_writes_after_the_end_are_warned_of(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, writer = pipe()
        protocol = await writing(writer)
        reader.close()
        await until(lambda: protocol.lost)
        for _ in range(7):
            protocol.transport.write(b"nobody reads this")

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())
    message = "pipe closed by peer or os.write(pipe, data) raised exception."
    assert [record.getMessage() for record in caplog.records] == [message] * 2


def test_a_failed_write_ends_the_connection(run: Run) -> None:
    async def main() -> Recorder:
        near, far = socket.socketpair()
        protocol = await writing(near)
        far.close()
        protocol.transport.write(b"x")
        await until(lambda: protocol.lost)
        return protocol

    protocol, reported = run(main())
    assert isinstance(protocol.lost[0], BrokenPipeError)
    assert protocol.calls == ["made", "lost"]
    assert reported == []


def test_abort_gives_up_what_waits(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe()
        protocol = await writing(writer)
        protocol.transport.write(b"x" * 500_000)
        protocol.transport.close()
        assert not protocol.lost
        protocol.transport.abort()
        await until(lambda: protocol.lost)
        assert protocol.lost == [None]
        assert len(read_all(reader.fileno())) < 500_000
        reader.close()

    run(main())


def test_only_bytes_are_written(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe()
        protocol = await writing(writer)
        with pytest.raises(AssertionError, match=r"^'text'$"):
            protocol.transport.write("text")
        protocol.transport.close()
        await until(lambda: protocol.lost)
        reader.close()

    run(main())


def test_a_write_end_refuses_the_reading_side_of_a_transport(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe()
        protocol = await writing(writer)
        transport: Any = protocol.transport
        for method in (transport.is_reading, transport.pause_reading, transport.resume_reading):
            with pytest.raises(NotImplementedError):
                method()
        transport.close()
        await until(lambda: protocol.lost)
        reader.close()

    run(main())


def test_a_terminal_opened_both_ways(run: Run) -> None:
    async def main() -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        loop = asyncio.get_running_loop()
        writer = await writing(os.fdopen(os.dup(master), "wb", 0))
        _, reader = await loop.connect_read_pipe(Recorder, os.fdopen(master, "rb", 0))
        writer.transport.write(b"to the slave")
        assert await asyncio.to_thread(os.read, slave, 100) == b"to the slave"
        os.write(slave, b"to the master")
        await until(lambda: reader.data == b"to the master")
        writer.transport.close()
        await until(lambda: writer.lost)
        reader.transport.close()
        await until(lambda: reader.lost)
        os.close(slave)

    run(main())


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_character_device(run: Run, path: str) -> None:
    async def main() -> None:
        file = open(path, "wb", 0)  # noqa: SIM115, PTH123 -- the transport closes it
        protocol = await writing(file)
        protocol.transport.write(b"x" * 1_000_000)
        assert protocol.transport.get_write_buffer_size() == 0
        protocol.transport.close()
        await until(lambda: protocol.lost)

    assert run(main())[1] == []


def test_a_regular_file_is_refused(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        message = "^Pipe transport is only for pipes, sockets and character devices$"
        with (tmp_path / "file").open("wb") as file:
            with pytest.raises(ValueError, match=message):
                await writing(file)
            file.write(b"still open")

    run(main())


def test_standard_output_twice(run_python: Callable[..., Any], factory: Factory) -> None:
    made = f"{factory.__module__}.{factory.__qualname__}"
    program = f"""
import asyncio, sys, ouroloop, asyncio.unix_events
async def main():
    loop = asyncio.get_running_loop()
    ends = []
    for number in (b"1", b"2"):
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sys.stdout)
        transport.write(number)
        ends.append(transport)
    for transport in ends:
        transport.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
with asyncio.Runner(loop_factory={made}) as runner:
    runner.run(main())
"""
    done = run_python("-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "12", "")


def test_an_unclosed_transport_warns_and_closes(factory: Factory) -> None:
    reader, writer = pipe()
    loop = factory()
    transport: Any
    transport, protocol = loop.run_until_complete(loop.connect_write_pipe(Recorder, writer))
    loop.close()
    assert re.fullmatch(r"<\w+ fd=\d+ open>", repr(transport))
    del protocol, transport
    with pytest.warns(ResourceWarning, match="unclosed transport <.*WritePipeTransport"):
        gc.collect()
    assert writer.closed
    reader.close()


def test_an_error_of_pause_writing_is_reported(run: Run) -> None:
    class Refusing(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            raise ZeroDivisionError

    async def main() -> None:
        reader, writer = pipe()
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(Refusing, writer)
        transport.write(b"x" * 1_000_000)
        transport.abort()
        await until(lambda: protocol.lost)
        reader.close()

    (context,) = run(main())[1]
    assert context["message"] == "protocol.pause_writing() failed"
    assert isinstance(context["exception"], ZeroDivisionError)
