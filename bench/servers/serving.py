"""What the servers share: their arguments, their listening socket, their loop."""

import argparse
import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from bench import loops

BACKLOG = 1024


def serve(main: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> None:
    """Run ``main`` with a listening socket on the loop that the command line names.

    The port is printed as soon as the kernel takes connections for it, so a client that reads it
    may connect at once.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", choices=loops.NAMES, required=True)
    parser.add_argument("--cpu", type=int, help="the processor to stay on")
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    # asyncio turns Nagle's algorithm off only where the socket names its protocol.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    loops.prepare(arguments.loop)
    with asyncio.Runner(loop_factory=lambda: loops.new_event_loop(arguments.loop)) as runner:
        runner.run(main(listener))


async def for_ever(server: asyncio.AbstractServer) -> None:
    """Keep a server that has already started.

    Unlike ``serve_forever`` this does not start it again, which not every loop survives.
    """
    assert server.is_serving()
    await asyncio.get_running_loop().create_future()
