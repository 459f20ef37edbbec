"""In which turn what happens: programs and tests count them by ``sleep(0)``."""

import asyncio
import os
import selectors
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import ouroloop
import pytest

from tests.support.loops import HOST

Log = list[Any]

BARREN_TURNS = 200
"""More than after which looks at the descriptors may be left out."""


class Told(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self, log: Log, name: str) -> None:
        self.log = log
        self.name = name
        log.append(f"{name}: protocol")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.log.append(f"{self.name}: made")

    def data_received(self, data: bytes) -> None:
        self.log.append(f"{self.name}: {data!r}")

    def eof_received(self) -> None:
        self.log.append(f"{self.name}: eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append(f"{self.name}: lost {type(exc).__name__}")


async def count(log: Log, turns: int = 6) -> None:
    for turn in range(turns):
        await asyncio.sleep(0)
        log.append(turn)


async def linked(log: Log) -> tuple[asyncio.Transport, asyncio.Transport]:
    loop = asyncio.get_running_loop()
    ends = []
    for name, end in zip("ab", socket.socketpair(), strict=True):
        transport, _ = await loop.create_connection(
            lambda name=name: Told(log, name),  # type: ignore[misc]
            sock=end,
        )
        ends.append(transport)
    for _ in range(BARREN_TURNS):
        await asyncio.sleep(0)
    log.clear()
    return ends[0], ends[1]


def write(a: asyncio.Transport, b: asyncio.Transport) -> None:
    a.write(b"x")
    b.writelines([b"y", b"z"])


def shut(a: asyncio.Transport, _: asyncio.Transport) -> None:
    a.write_eof()


def close(a: asyncio.Transport, _: asyncio.Transport) -> None:
    a.write(b"x")
    a.close()


def close_on_both_sides(a: asyncio.Transport, b: asyncio.Transport) -> None:
    a.write(b"x")
    b.write(b"y")
    a.write_eof()
    b.close()


def abort(a: asyncio.Transport, _: asyncio.Transport) -> None:
    a.write(b"x")
    a.abort()


ACTS = [write, shut, close, close_on_both_sides, abort]


async def answered() -> Log:
    """What the two ends of a connection on one loop hear after each act, twice where they can."""
    logs: Log = []
    for act in ACTS:
        log: Log = []
        ends = await linked(log)
        act(*ends)
        await count(log)
        if act is write:
            act(*ends)
            await count(log)
        for end in ends:
            end.abort()
        logs.append((act.__name__, log))
    return logs


async def accepted() -> Log:
    loop = asyncio.get_running_loop()
    log: Log = []
    server = await loop.create_server(lambda: Told(log, "server"), HOST, 0)
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        client.sendall(b"x")
        await count(log)
    await count(log)
    server.close()
    return log


async def accepted_by_a_server_that_closes() -> Log:
    """The connection is in the kernel's hands, in the loop's, the protocol's."""
    loop = asyncio.get_running_loop()
    log: Log = []
    for turns in (0, 3, 4):
        server = await loop.create_server(lambda: Told(log, "server"), HOST, 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            await count(log, turns)
            log.append("close")
            server.close()
            await count(log)
            client.close()
            await count(log)
    return log


async def connected() -> Log:
    loop = asyncio.get_running_loop()
    log: Log = []
    server = await loop.create_server(lambda: Told(log, "server"), HOST, 0)
    counting = asyncio.ensure_future(count(log, 12))
    client, _ = await loop.create_connection(
        lambda: Told(log, "client"), *server.sockets[0].getsockname()
    )
    client.write(b"x")
    await counting
    client.close()
    await count(log)
    server.close()
    return log


async def opened() -> Log:
    """Servers, connections and endpoints, each as long after the call as it is there."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, HOST, 0)
    host, port = server.sockets[0].getsockname()
    protocol, datagrams = asyncio.Protocol, asyncio.DatagramProtocol
    log: Log = []
    for name, coroutine in (
        ("server", loop.create_server(protocol, HOST, 0)),
        ("idle server", loop.create_server(protocol, HOST, 0, start_serving=False)),
        ("server of two", loop.create_server(protocol, [HOST, HOST], 0)),
        ("streams' server", asyncio.start_server(lambda *_: None, HOST, 0)),
        ("connection", loop.create_connection(protocol, host, port)),
        ("streams", asyncio.open_connection(host, port)),
        ("endpoint", loop.create_datagram_endpoint(datagrams, local_addr=(HOST, 0))),
    ):
        counting = asyncio.ensure_future(count(log, 12))
        await asyncio.sleep(0)
        opened: Any = await coroutine
        log.append(name)
        await counting
        closing = opened if isinstance(opened, asyncio.AbstractServer) else opened[0]
        (opened[1] if isinstance(closing, asyncio.StreamReader) else closing).close()
    server.close()
    return log


async def waited_for() -> Log:
    loop = asyncio.get_running_loop()
    log: Log = []
    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)
        b.setblocking(False)
        waiting = asyncio.ensure_future(loop.sock_recv(b, 10))
        waiting.add_done_callback(lambda it: log.append(it.result()))
        for _ in range(BARREN_TURNS):
            await asyncio.sleep(0)
        await loop.sock_sendall(a, b"x")
        await count(log)
    return log


@pytest.mark.parametrize(
    "scenario",
    [
        answered,
        accepted,
        accepted_by_a_server_that_closes,
        connected,
        opened,
        waited_for,
    ],
)
def test_everything_happens_in_the_same_turn(
    scenario: Callable[[], Coroutine[Any, Any, Log]],
) -> None:
    # In which order a turn finds two descriptors is the mechanism's; with select, it is that of a Python set.
    mechanism = os.environ.get("OUROLOOP_MULTIPLEXER", "")
    if mechanism == "select" and scenario in (answered, connected):
        pytest.skip("the order within a turn is nobody's")
    selector = {"poll": selectors.PollSelector, "select": selectors.SelectSelector}.get(
        mechanism, selectors.DefaultSelector
    )
    logs = []
    for factory in (lambda: asyncio.SelectorEventLoop(selector()), ouroloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: None)
            logs.append(runner.run(scenario()))
    assert logs[1] == logs[0]
