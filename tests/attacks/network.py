"""Sockets, pipes, servers and subprocesses on the running loop, with protocols and sockets that misbehave."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable
from typing import Any

from ouroloop import _native

from . import evil
from .values import arguments, callback, current_loop, data, descriptor, descriptors, number, value
from .world import call, react, world, wreck


def _reacting(*answers: Any) -> Callable[..., Any]:
    def method(self: Any, *_: Any) -> Any:
        react()
        return world.chance.one(answers) if answers else None

    return method


def _connected(self: Any, transport: Any) -> None:
    world.keep(transport)
    react()


_BODY: dict[str, Any] = {
    "connection_made": _connected,
    "connection_lost": _reacting(),
    "pause_writing": _reacting(),
    "resume_writing": _reacting(),
    "data_received": _reacting(),
    "eof_received": _reacting(None, True, 5),
    "buffer_updated": _reacting(),
    "datagram_received": _reacting(),
    "error_received": _reacting(),
    "pipe_data_received": _reacting(),
    "pipe_connection_lost": _reacting(),
    "process_exited": _reacting(),
}


def _buffer(self: Any, hint: int) -> Any:
    react()
    released = memoryview(bytearray(8))
    released.release()
    return world.chance.one((
        bytearray(16), bytearray(1), bytearray(), b"read only", memoryview(bytearray(64))[::2], released, None, 5,
        evil.Evil(), evil.EvilByteArray(b"12345678"),
    ))  # fmt: skip


EvilProtocol: Any = type("EvilProtocol", (asyncio.Protocol,), dict(_BODY))
EvilBuffered: Any = type(
    "EvilBuffered", (asyncio.BufferedProtocol,), {**_BODY, "get_buffer": _buffer}
)
EvilDatagram: Any = type("EvilDatagram", (asyncio.DatagramProtocol,), dict(_BODY))
EvilSubprocess: Any = type("EvilSubprocess", (asyncio.SubprocessProtocol,), dict(_BODY))
_SUBCLASSED: list[Any] = []


def protocol() -> Any:
    """Return an instance of a protocol's class that is ours, or somebody's."""
    match world.chance.below(6):
        case 0 | 1:
            return EvilProtocol()
        case 2 | 3:
            return EvilBuffered()
        case 4:
            reader = _native.StreamReader(limit=10, loop=world.loops[0])
            return _native.StreamReaderProtocol(reader, wreck, loop=world.loops[0])
        case _:
            return value()


def _affordable(size: Any) -> Any:
    """Return at most a mebibyte: CPython's debug allocator fills what is asked for, however little comes."""
    return min(size, 2**20) if type(size) is int else size


class EvilSocket(socket.socket):
    """A socket whose methods answer what they like."""

    __slots__ = ()

    def _or(self, method: Callable[..., Any], *arguments: Any) -> Any:
        react(0.2)
        if world.chance.odds(0.3):
            return world.chance.one(
                (0, 1, 2**40, -1, None, b"", b"x" * 100, (b"x", None), bytearray(b"ab"))
            )
        return method(*arguments)

    def send(self, *arguments: Any) -> Any:
        return self._or(super().send, *arguments)

    def sendto(self, *arguments: Any) -> Any:
        return self._or(super().sendto, *arguments)

    def recv(self, *arguments: Any) -> Any:
        return self._or(super().recv, *map(_affordable, arguments))

    def recv_into(self, *arguments: Any) -> Any:
        return self._or(super().recv_into, *arguments)

    def recvfrom(self, *arguments: Any) -> Any:
        return self._or(super().recvfrom, *map(_affordable, arguments))

    def fileno(self) -> int:
        react(0.05)
        return super().fileno()

    def detach(self) -> int:
        react(0.2)
        return super().detach()

    def close(self) -> None:
        super().close()
        react(0.2)


_peers: list[socket.socket] = []
_ends: list[socket.socket] = []
"""The attacked ends of the last pairs, as far as they are alive."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Return an end for the attack and its peer, which has something to say."""
    ours, peer = socket.socketpair()
    if world.chance.odds(0.3):
        ours = EvilSocket(fileno=ours.detach())
    for end in (ours, peer):
        end.setblocking(False)
    _ends.append(ours)
    del _ends[:-4]
    peer.send(b"first line\nand more" * (1 + 40 * world.chance.below(2)))
    if len(_peers) < 6:
        _peers.append(peer)
    else:
        _peers[world.chance.below(6)] = peer
    return ours, peer


def _run(awaitable: Any) -> None:
    """Await it on the loop, and keep what comes of it."""

    async def awaiting() -> None:
        world.keep(call(lambda: None))
        made = await awaitable
        for one in made if isinstance(made, tuple) else (made,):
            world.keep(one)

    if hasattr(type(awaitable), "__await__"):
        call(world.loops[0].create_task, awaiting())


def _connect() -> None:
    ours, _ = pair()
    loop = world.loops[0]
    if world.chance.odds(0.3):
        _run(call(loop.connect_accepted_socket, protocol, ours))
    else:
        _run(call(loop.create_connection, protocol, sock=ours))


def _open_streams() -> None:
    ours, _ = pair()
    _run(call(_native.open_connection, sock=ours, limit=world.chance.one((1, 16, 2**16))))


def _peer_acts() -> None:
    if _peers:
        peer = world.chance.one(_peers)
        acts = (
            lambda: peer.send(b"more\n"),
            lambda: peer.recv(2**20),
            peer.close,
            lambda: peer.shutdown(socket.SHUT_WR),
        )
        with contextlib.suppress(OSError):
            world.chance.one(acts)()


def _change_the_class_of_an_end() -> None:
    """A socket that was evil is a plain one by the next attempt, or the other way round."""
    found = world.chance.one((*_ends, *descriptors[:4]))
    call(setattr, found, "__class__", world.chance.one((EvilSocket, socket.socket)))


def _datagrams() -> None:
    ours, peer = socket.socketpair(type=socket.SOCK_DGRAM)
    ours.setblocking(False)
    peer.send(b"datagram")
    _run(call(world.loops[0].create_datagram_endpoint, EvilDatagram, sock=ours))


def _pipes() -> None:
    reading, writing = os.pipe()
    loop = world.loops[0]
    readable, writable = os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)
    os.write(writing, b"out of a pipe\n")
    _run(call(loop.connect_read_pipe, EvilProtocol, readable))
    _run(call(loop.connect_write_pipe, EvilProtocol, writable))


def _socket_operation() -> None:
    chance = world.chance
    loop = current_loop()
    end = chance.one((pair()[0], descriptor()))
    match chance.below(6):
        case 0:
            operation = call(loop.sock_recv, end, _affordable(number()))
        case 1:
            operation = call(loop.sock_recv_into, end, chance.one((bytearray(4), value())))
        case 2 | 3:
            operation = call(loop.sock_sendall, end, data())
        case 4:
            operation = call(loop.sock_sendto, end, data(), value())
        case _:
            operation = call(loop.sock_accept, end)
    if chance.odds(0.6):
        _run(operation)


def _readiness() -> None:
    chance = world.chance
    loop = current_loop()
    name = chance.one(("add_reader", "add_writer", "remove_reader", "remove_writer"))
    given = (callback(), *arguments()) if name.startswith("add") else ()
    call(getattr(loop, name), descriptor(), *given)
    if chance.odds(0.3):
        for writable in descriptors[:4]:
            with contextlib.suppress(OSError):
                writable.send(b"ready")


def _write() -> None:
    found = world.pick()
    name = world.chance.one(("write", "writelines", "write_eof", "abort", "close", "pause_reading", "resume_reading",
                             "set_protocol", "sendto", "set_write_buffer_limits"))  # fmt: skip
    method = getattr(type(found), name, None)
    if method is not None:
        given = {
            "write": data,
            "writelines": lambda: [data(), data()],
            "set_protocol": protocol,
            "sendto": data,
        }
        call(method, found, *([given[name]()] if name in given else []))


def _serve() -> None:
    loop = world.loops[0]
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(listening.getsockname())
    _peers.append(client)
    del _peers[:-6]
    if world.chance.odds(0.5):
        _run(call(loop.create_server, protocol, sock=listening))
    else:
        _run(call(_native.start_server, wreck, sock=listening))


def _subprocess() -> None:
    if world.chance.odds(0.03):
        _run(call(world.loops[0].subprocess_exec, EvilSubprocess, "/bin/true"))


def _signals() -> None:
    loop = world.loops[0]
    call(loop.add_signal_handler, signal.SIGUSR1, wreck)
    if signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL:
        os.kill(os.getpid(), signal.SIGUSR1)
    if world.chance.odds(0.5):
        call(loop.remove_signal_handler, signal.SIGUSR1)


def _resolve() -> None:
    _run(call(world.loops[0].getaddrinfo, "127.0.0.1", world.chance.one((0, "80", value()))))


class EvilObject(ssl.SSLObject):
    """An end of TLS that answers more than is asked, or less, or something else."""

    def read(self, *arguments: Any) -> Any:
        react(0.2)
        if world.chance.odds(0.3):
            return world.chance.one((b"x" * 300_000, None, 2**40, -1, "text", 7))
        return super().read(*arguments)

    def write(self, *arguments: Any) -> Any:
        react(0.2)
        return (
            world.chance.one((2**40, -1, None, "text"))
            if world.chance.odds(0.3)
            else super().write(*arguments)
        )

    def do_handshake(self) -> None:
        react(0.2)
        super().do_handshake()

    def unwrap(self) -> Any:
        react(0.2)
        return super().unwrap()

    @property
    def pending(self) -> Any:
        react(0.2)
        return super().pending


_contexts: list[tuple[ssl.SSLContext, ssl.SSLContext]] = []


def load_certificate(path: str) -> None:
    """Make the contexts, with ends of the standard library's and with evil ones."""
    for kind in (ssl.SSLObject, EvilObject):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(path)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        server.sslobject_class = client.sslobject_class = kind
        _contexts.append((server, client))


def _tls() -> None:
    if not _contexts or world.chance.odds(0.7):
        return
    server, _ = world.chance.one(_contexts)
    _, client = world.chance.one(_contexts)
    ours, theirs = socket.socketpair()
    loop = world.loops[0]
    _run(call(loop.connect_accepted_socket, protocol, ours, ssl=server))
    _run(call(loop.create_connection, protocol, sock=theirs, ssl=client, server_hostname=""))
    found = world.pick()
    if isinstance(found, _native.SocketTransport):
        _run(
            call(
                loop.start_tls,
                found,
                protocol(),
                world.chance.one((server, client)),
                server_hostname="x",
            )
        )


NETWORK: list[Callable[[], None]] = [
    *[_connect] * 4, *[_open_streams] * 2, *[_peer_acts] * 4, *[_change_the_class_of_an_end] * 3, _datagrams, _pipes, *[_socket_operation] * 4,
    *[_readiness] * 3, *[_write] * 6, _serve, _subprocess, _signals, _resolve, _tls,
]  # fmt: skip
