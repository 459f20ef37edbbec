"""What a TLS connection keeps in memory: little when it is idle, and no more after each load.

uvloop's memory grew under load (its issues 565 and 220); asyncio allots each connection 256 KiB.
The kernel is asked how much the process has, so OpenSSL's share is in the figures; the clients
have a process of their own.
"""

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.support.certificates import NAME, Contexts

SERVER = """
import asyncio, gc, os, ssl, sys
import ouroloop

CONNECTIONS, LOAD = 150, 200_000

CLIENTS = '''
import socket, ssl, sys, threading

port, connections, load = map(int, sys.argv[1:])
context = ssl.create_default_context(cafile="authority.pem")
socks = []
for _ in range(connections):
    sock = socket.create_connection(("127.0.0.1", port))
    socks.append(context.wrap_socket(sock, server_hostname="server.example"))
    socks[-1].sendall(b"x")
    assert socks[-1].recv(1) == b"x"
print("idle", flush=True)
while sys.stdin.readline():
    for sock in socks:
        sending = threading.Thread(target=sock.sendall, args=(bytes(load),))
        sending.start()
        left = load
        while left:
            left -= len(sock.recv(65536))
        sending.join()
    print("idle", flush=True)
'''

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

async def loaded(port, connections, loads):
    "Bytes a connection has when idle: after the handshake and after each load."
    gc.collect()
    before = resident()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENTS, str(port), str(connections), str(LOAD), stdin=-1, stdout=-1
    )
    figures = []
    for _ in range(1 + loads):
        assert await process.stdout.readline() == b"idle\\n"
        gc.collect()
        figures.append((resident() - before) // connections)
        process.stdin.write(b"again\\n")
    process.kill()
    await process.communicate()
    return figures

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem")
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    # What is there once a process, or kept for the next connection, is not counted.
    await loaded(port, 3, 1)
    print(*await loaded(port, CONNECTIONS, 3))
    server.close()

with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
    runner.run(main())
"""


@pytest.mark.slow
def test_idle_connections(run_python: RunPython, tmp_path: Path, contexts: Contexts) -> None:
    contexts.authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    contexts.authority.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    done = run_python("-W", "ignore", "-c", SERVER)
    assert (done.returncode, done.stderr) == (0, "")
    fresh, first, *later = map(int, done.stdout.split())
    assert fresh < 48 * 1024
    # OpenSSL keeps the buffers of the memory BIOs once they have grown.
    assert first < 160 * 1024
    # The same load again finds room in what is there.
    assert max(later) < first + 16 * 1024
