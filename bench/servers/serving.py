"""What the servers share: their arguments, their listening socket, their loop."""

import argparse
import asyncio
import os
import resource
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench import loops

BACKLOG = 4096

Main = Callable[..., Coroutine[Any, Any, None]]


def serve(main: Main, *, udp: bool = False) -> None:
    """Run ``main`` with a listening socket, or one for datagrams, on the loop of the command line.

    With a certificate on the command line ``main`` is given a context for TLS too. The port is
    printed as soon as the kernel takes connections or datagrams for it, so a client that reads it
    may begin at once.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", choices=loops.ALL_NAMES, required=True)
    parser.add_argument("--cpu", type=int, help="the processor to stay on")
    parser.add_argument("--certificate", type=Path, help="a PEM file with a key: serve TLS")
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    allow_many_descriptors()
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
    options = {}
    if arguments.certificate is not None:
        # rsloop serves with contexts alone that were made after it was imported.
        options["tls"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        options["tls"].load_cert_chain(arguments.certificate)
    with asyncio.Runner(loop_factory=lambda: loops.new_event_loop(arguments.loop)) as runner:
        runner.run(main(bound, **options))


def allow_many_descriptors() -> None:
    """Allow as many as the system lets this process have; a connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve_protocol(factory: Callable[[], asyncio.BaseProtocol]) -> None:
    """Serve connections by protocols of ``factory``, over TLS if there is a certificate."""

    async def main(listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(factory, sock=listener, backlog=BACKLOG, ssl=tls)
        await for_ever(server)

    serve(main)


async def for_ever(server: asyncio.AbstractServer) -> None:
    """Keep a server that has already started.

    Unlike ``serve_forever`` this does not start it again, which not every loop survives.
    """
    assert server.is_serving()
    await asyncio.get_running_loop().create_future()
