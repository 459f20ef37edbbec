"""A TCP server that sends back whatever it is sent.

Usage: echo_server.py [HOST [PORT]]  (127.0.0.1 8888 unless told; port 0 takes any free one)
"""

import asyncio
import contextlib
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    peer = writer.get_extra_info("peername")
    count = 0
    # A client may vanish at any await below; that ends its connection, not the server.
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
            count += len(data)
    print(f"{peer} sent {count} bytes", flush=True)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def main(host: str = "127.0.0.1", port: str = "8888") -> None:
    server = await asyncio.start_server(echo, host, int(port))
    address = server.sockets[0].getsockname()
    print(f"serving on {address[0]}:{address[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
