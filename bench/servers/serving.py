"""What the servers share: their arguments, their listening socket, their loop."""

import argparse
import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from bench import loops

BACKLOG = 1024


def serve(main: Callable[[socket.socket], Coroutine[Any, Any, None]], *, udp: bool = False) -> None:
    """Run ``main`` with a listening socket, or one for datagrams, on the loop of the command line.

    The port is printed as soon as the kernel takes connections or datagrams for it, so a client
    that reads it may begin at once.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", choices=loops.NAMES, required=True)
    parser.add_argument("--cpu", type=int, help="the processor to stay on")
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    if udp:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
    else:
        # asyncio turns Nagle's algorithm off only where the socket names its protocol.
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.bind(("127.0.0.1", 0))
        bound.listen(BACKLOG)
    bound.setblocking(False)
    print(bound.getsockname()[1], flush=True)
    loops.prepare(arguments.loop)
    with asyncio.Runner(loop_factory=lambda: loops.new_event_loop(arguments.loop)) as runner:
        runner.run(main(bound))


async def for_ever(server: asyncio.AbstractServer) -> None:
    """Keep a server that has already started.

    Unlike ``serve_forever`` this does not start it again, which not every loop survives.
    """
    assert server.is_serving()
    await asyncio.get_running_loop().create_future()
