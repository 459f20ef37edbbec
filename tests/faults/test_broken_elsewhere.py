"""What broke in other event loops, and is to hold here.

The numbers are those of their public trackers.
"""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import HOST, PATIENCE, Run, until


class Ending(asyncio.Protocol):
    """Keeps the bytes, and the end."""

    transport: Any = None

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


# Guards against: a socket of `get_extra_info` that lacks methods of asyncio's own, so that a
# program could not end its half of the connection by it (uvloop 241).
def test_the_socket_of_a_transport_can_be_shut_down(run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        with far:
            far.settimeout(PATIENCE)
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.create_unix_connection(Ending, sock=near)
            transport.write(b"all")
            transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            assert far.recv(100) == b"all"
            assert far.recv(100) == b""
            far.sendall(b"answer")
            await until(lambda: protocol.data == b"answer")
            transport.close()
            await until(lambda: protocol.lost)

    run(main())


# Guards against: the descriptor of a pipe that is closed twice, the second time under the number
# of somebody else's file (uvloop 763).
def test_a_pipe_is_closed_once(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        lost: list[Exception | None] = []

        def factory() -> Ending:
            protocol = Ending()
            protocol.lost = lost
            return protocol

        transport, _ = await loop.connect_read_pipe(factory, os.fdopen(read, "rb", 0))
        transport.close()
        await until(lambda: lost)
        others = os.pipe()
        assert read in others
        transport.close()
        del transport, _
        gc.collect()
        await asyncio.sleep(0.001)
        os.write(others[1], b"still there")
        assert os.read(others[0], 100) == b"still there"
        for fd in (write, *others):
            os.close(fd)

    run(main())


HOOKS = """
import asyncio, os, sys
from {module} import {factory} as factory

for when in ("before", "after_in_parent", "after_in_child"):
    os.register_at_fork(**{{when: lambda when=when: os.write(1, when.encode() + b"\\n")}})

async def main():
    for keywords in ({{}}, {{"preexec_fn": lambda: os.write(1, b"preexec_fn\\n")}}):
        process = await asyncio.create_subprocess_exec("echo", "program", **keywords)
        await process.wait()

with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""
LOOPS = {"asyncio": ("asyncio", "SelectorEventLoop"), "ouroloop": ("ouroloop", "new_event_loop")}


# Guards against: hooks of `os.register_at_fork` that run where they do not belong, or in the
# wrong process (uvloop 749), and a `preexec_fn` that blocks the loop (uvloop 118). A child that is
# only to run a program has none; `preexec_fn` makes it one that runs Python, with the hooks.
def test_hooks_of_forks(name: str) -> None:
    module, factory = LOOPS[name]
    program = HOOKS.format(module=module, factory=factory)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=True
    )
    lines = done.stdout.decode().split()
    assert lines[0] == "program"
    assert lines[1] == "before"
    # Parent and child go on side by side.
    assert sorted(lines[2:]) == ["after_in_child", "after_in_parent", "preexec_fn", "program"]
    assert lines.index("after_in_child") < lines.index("preexec_fn")


# Guards against: TLS connections that linger for the time of the shutdown although the peer, who
# owes a close_notify, is gone (uvloop 471).
@pytest.mark.parametrize("gone", ["before", "after"])
def test_no_shutdown_waits_for_a_peer_that_is_gone(run: Run, contexts: Contexts, gone: str) -> None:
    served: list[Ending] = []

    class Served(Ending):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            served.append(self)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            Served, HOST, 0, ssl=contexts.server(), ssl_shutdown_timeout=10_000
        )
        transport, client = await loop.create_connection(
            Ending,
            *server.sockets[0].getsockname(),
            ssl=contexts.client(),
            server_hostname=NAME,
            ssl_shutdown_timeout=10_000,
        )
        await until(lambda: served)
        if gone == "after":
            served[0].transport.close()
        # Without a word of TLS.
        transport.abort()
        await until(lambda: served[0].lost and client.lost)
        server.close()
        await server.wait_closed()

    run(main())


FROZEN = """
import asyncio
from {module} import {factory} as factory

async def main():
    print("begun", flush=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    writer.write(b"hello\\n")
    assert await reader.readline() == b"thawed\\n"
    await asyncio.sleep(0.001)
    writer.close()

for _ in range(2):
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
"""


# Guards against: a loop that is of no use after its process was frozen for a while, as serverless
# platforms do it (uvloop 625).
def test_a_frozen_process_goes_on(name: str) -> None:
    module, factory = LOOPS[name]
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(PATIENCE)
        program = FROZEN.format(module=module, factory=factory, port=listener.getsockname()[1])
        with subprocess.Popen([sys.executable, "-c", program], stdout=-1) as process:
            for _ in range(2):
                assert process.stdout is not None
                assert process.stdout.readline() == b"begun\n"
                with listener.accept()[0] as sock:
                    assert sock.recv(100) == b"hello\n"
                    process.send_signal(signal.SIGSTOP)
                    assert os.waitpid(process.pid, os.WUNTRACED)[1] & 0xFF == 0x7F
                    sock.sendall(b"thawed\n")
                    # It is the kernel's clock that runs on.
                    time.sleep(0.02)
                    process.send_signal(signal.SIGCONT)
                    assert sock.recv(100) == b""
            assert process.wait(PATIENCE) == 0


class Disconnected(Ending):
    """As a web server's: looks at its transport in each callback, also in the last ones."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = 0

    def pause_writing(self) -> None:
        self.paused += 1
        assert self.transport.get_extra_info("peername") is not None

    def resume_writing(self) -> None:
        self.paused -= 1
        assert self.transport.get_write_buffer_size() >= 0

    def eof_received(self) -> bool:
        self.transport.write(b"too late")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        assert self.transport.is_closing()
        assert self.transport.get_extra_info("peername") is not None
        assert self.transport.get_extra_info("nothing", 1) == 1
        self.transport.pause_reading()
        self.transport.resume_reading()
        self.transport.write(b"much too late")
        self.transport.close()
        self.transport.abort()
        assert repr(self.transport)


# Guards against: TypeErrors and panics on the way out, when a server's protocol still uses the
# transport of a client that has disconnected (rloop under aiohttp; rloop 39).
@pytest.mark.parametrize("left", ["quietly", "by reset"])
@pytest.mark.parametrize("written", [0, 3_000_000])
def test_a_client_that_disconnects(run: Run, left: str, written: int) -> None:
    made: list[Disconnected] = []

    def factory() -> Disconnected:
        made.append(Disconnected())
        return made[-1]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(factory, HOST, 0)
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            await until(lambda: made and made[0].transport)
            made[0].transport.write(bytes(written))
            await asyncio.sleep(0)
            if left == "by reset":
                linger = b"\1\0\0\0\0\0\0\0"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await until(lambda: made[0].lost)
        server.close()
        await server.wait_closed()
        assert len(made[0].lost) == 1

    run(main())
