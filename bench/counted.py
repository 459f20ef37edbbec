"""The operations whose instructions `bench.instructions` counts, and the process that carries one out.

It imports as little as it can: under valgrind, importing is most of what it does.
"""

import asyncio
import gc
import socket
import sys

from bench import loops
from bench.operations import Operation, call_soon_chain, create_and_await, future

MESSAGE = bytes(64)


async def sleep(count: int) -> None:
    """A task that lets others run, of which there are none."""
    for _ in range(count):
        await asyncio.sleep(0)


async def queue(count: int) -> None:
    """An item put into a queue and got from it, without waiting."""
    items: asyncio.Queue[int] = asyncio.Queue()
    for item in range(count):
        await items.put(item)
        await items.get()


async def lock(count: int) -> None:
    """A free lock acquired and released."""
    free = asyncio.Lock()
    for _ in range(count):
        await free.acquire()
        free.release()


class Echo(asyncio.Protocol):
    """Sends back what comes, so often; whoever sees the last one resolves the future."""

    def __init__(self, left: int, done: asyncio.Future[None]) -> None:
        self.left = left
        self.done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer, unless it was the last."""
        self.left -= 1
        if self.left:
            self.transport.write(data)
        elif not self.done.done():
            self.done.set_result(None)


async def protocol_echo(count: int) -> None:
    """64 B there and back, both ends protocols of this loop."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    ours, theirs = socket.socketpair()
    answering, _ = await loop.create_connection(lambda: Echo(count + 1, done), sock=theirs)
    asking, _ = await loop.create_connection(lambda: Echo(count, done), sock=ours)
    asking.write(MESSAGE)
    await done
    asking.close()
    answering.close()


async def stream_echo(count: int) -> None:
    """64 B there and back, both ends streams of this loop."""
    ours, theirs = socket.socketpair()

    async def answer() -> None:
        reader, writer = await asyncio.open_connection(sock=theirs)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    answering = asyncio.create_task(answer())
    reader, writer = await asyncio.open_connection(sock=ours)
    for _ in range(count):
        writer.write(MESSAGE)
        await writer.drain()
        await reader.readexactly(len(MESSAGE))
    writer.close()
    await answering


OPERATIONS: dict[str, Operation] = {
    "sleep(0)": sleep,
    "call_soon": call_soon_chain,
    "future": future,
    "task": create_and_await,
    "streams": stream_echo,
    "protocol": protocol_echo,
    "queue": queue,
    "lock": lock,
}


def _work(operation: str, loop: str, count: int) -> None:
    loops.prepare(loop)
    with asyncio.Runner(loop_factory=lambda: loops.new_event_loop(loop)) as runner:
        # What starting has left is not looked through again by each collection.
        gc.collect()
        gc.freeze()
        runner.run(OPERATIONS[operation](count))


if __name__ == "__main__":
    _work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
