"""Read ends: bytes, the end, pauses, and files that are refused."""

import asyncio
import fcntl
import gc
import os
import pty
import re
import socket
import tty
import weakref
from pathlib import Path
from typing import Any

import pytest

from tests.support.loops import Factory, Run, until

from .ends import Recorder, pipe, reading


def test_bytes_then_the_end(run: Run) -> None:
    async def main() -> Recorder:
        reader, writer = pipe()
        protocol = await reading(reader)
        assert isinstance(protocol.transport, asyncio.ReadTransport)
        assert protocol.transport.get_extra_info("pipe") is reader
        assert protocol.transport.get_extra_info("missing", 7) == 7
        writer.write(b"hello ")
        await until(lambda: protocol.data)
        writer.write(b"world")
        writer.close()
        await until(lambda: protocol.lost)
        assert reader.closed
        assert protocol.transport.is_closing()
        assert protocol.transport.get_protocol() is None
        assert protocol.transport.get_extra_info("pipe") is reader
        return protocol

    protocol, reported = run(main())
    assert protocol.data == b"hello world"
    assert protocol.calls == ["made", "eof", "lost"]
    assert protocol.lost == [None]
    assert reported == []


def test_more_than_a_buffer_of_bytes(run: Run) -> None:
    data = os.urandom(3_000_000)

    async def main() -> bytes:
        reader, writer = pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 20)
        protocol = await reading(reader)

        def write_all() -> None:
            view = memoryview(data)
            while view:
                view = view[writer.write(view) :]
            writer.close()

        await asyncio.to_thread(write_all)
        await until(lambda: protocol.lost)
        return protocol.data

    assert run(main())[0] == data


def test_a_paused_end_reads_nothing(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe()
        protocol = await reading(reader)
        transport = protocol.transport
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        writer.write(b"later")
        await asyncio.sleep(0.02)
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        await until(lambda: protocol.data == b"later")
        transport.close()
        transport.close()
        transport.pause_reading()
        transport.resume_reading()
        await until(lambda: protocol.lost)
        assert protocol.calls == ["made", "lost"]
        writer.close()

    run(main())


def test_a_named_fifo(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main() -> Recorder:
        reader = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
        with path.open("wb", 0) as writer:
            protocol = await reading(reader)
            writer.write(b"through the file system")
        await until(lambda: protocol.lost)
        return protocol

    assert run(main())[0].data == b"through the file system"


def test_a_terminal_whose_other_side_goes(run: Run) -> None:
    async def main() -> Recorder:
        master, slave = pty.openpty()
        tty.setraw(slave)
        protocol = await reading(os.fdopen(master, "rb", 0))
        os.write(slave, b"typed")
        await until(lambda: protocol.data == b"typed")
        os.close(slave)
        await until(lambda: protocol.lost)
        return protocol

    protocol, reported = run(main())
    assert isinstance(protocol.lost[0], OSError)
    assert reported == []


def test_a_socket(run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        protocol = await reading(near)
        far.sendall(b"bytes")
        await until(lambda: protocol.data == b"bytes")
        far.close()
        await until(lambda: protocol.lost)
        assert near.fileno() == -1

    run(main())


def test_a_regular_file_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")

    async def main() -> None:
        with path.open("rb") as file:
            with pytest.raises(ValueError, match=r"^Pipe transport is for pipes/sockets only\.$"):
                await reading(file)
            assert file.read() == b"content"

    run(main())


def test_an_error_of_the_protocol_is_reported(run: Run) -> None:
    class Refusing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise ZeroDivisionError

    async def main() -> None:
        reader, writer = pipe()
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_read_pipe(Refusing, reader)
        writer.write(b"one")
        await until(lambda: protocol.data == b"one")
        writer.write(b"two")
        await until(lambda: protocol.data == b"onetwo")
        transport.close()
        await until(lambda: protocol.lost)
        writer.close()

    _, reported = run(main())
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError] * 2


def test_a_cancelled_connection_closes_its_file(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe()
        connecting = asyncio.ensure_future(reading(reader))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await until(lambda: reader.closed)
        writer.close()

    run(main())


def test_an_unclosed_transport_warns_and_closes(factory: Factory) -> None:
    reader, writer = pipe()
    loop = factory()
    transport: Any
    transport, protocol = loop.run_until_complete(loop.connect_read_pipe(Recorder, reader))
    loop.close()
    assert re.fullmatch(r"<\w+ fd=\d+ open>", repr(transport))
    del protocol, transport
    with pytest.warns(ResourceWarning, match="unclosed transport <.*ReadPipeTransport"):
        gc.collect()
    assert reader.closed
    writer.close()


def test_states_show_in_the_representation(run: Run) -> None:
    async def main() -> list[str]:
        reader, writer = pipe()
        protocol = await reading(reader)
        transport = protocol.transport
        shown = [repr(transport)]
        transport.pause_reading()
        shown.append(repr(transport))
        transport.close()
        shown.append(repr(transport))
        await until(lambda: protocol.lost)
        shown.append(repr(transport))
        writer.close()
        fd = re.search(r"fd=(\d+)", shown[0])
        assert fd
        return [text.partition(" ")[2].replace(fd[0], "fd=N") for text in shown]

    assert run(main())[0] == [
        "fd=N polling>",
        "fd=N idle>",
        "closing fd=N idle>",
        "closed fd=N closed>",
    ]


def test_attributes_of_the_program_are_collected(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe()
        protocol = await reading(reader)
        transport = protocol.transport
        transport.mark = Recorder()
        transport.mark.transport = transport
        gone = weakref.ref(transport.mark)
        transport.close()
        while not protocol.lost:
            await asyncio.sleep(0)
        writer.close()
        del protocol, transport
        gc.collect()
        assert gone() is None

    run(main())
