"""Calls about files that a loop makes have a frame of asyncio's, by which tools that report blocking calls know them."""

import subprocess
import sys

PROGRAM = """
import asyncio, os, socket, sys, tempfile

seen = set()

def watch(name):
    original = getattr(os, name)
    def watching(path, *args, **kwargs):
        frame = sys._getframe(1)
        file = "/".join(frame.f_code.co_filename.split("/")[-2:])
        if str(path).endswith((".stream", ".datagram")):
            seen.add((name, file, frame.f_code.co_name))
        return original(path, *args, **kwargs)
    setattr(os, name, watching)

for name in ("stat", "unlink", "remove"):
    watch(name)

async def main(folder):
    loop = asyncio.get_running_loop()
    path = os.path.join(folder, "a.stream")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    server = await asyncio.start_unix_server(lambda reader, writer: writer.close(), path)
    reader, writer = await asyncio.open_unix_connection(path)
    await reader.read()
    writer.close()
    server.close()
    await server.wait_closed()
    path = os.path.join(folder, "a.datagram")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
        stale.bind(path)
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=path, family=socket.AF_UNIX
    )
    transport.close()
    await asyncio.sleep(0)

with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(folder))
for it in sorted(seen):
    print(*it)
"""


def test_as_with_stock_asyncio() -> None:
    stock, native = (
        subprocess.run(
            [sys.executable, *how, "-c", PROGRAM], capture_output=True, text=True, check=True
        ).stdout
        for how in ([], ["-m", "ouroloop"])
    )
    assert "asyncio/unix_events.py create_unix_server" in stock
    assert native == stock
