"""Private attributes: those by which asyncio's own modules use objects that may be native, and what monitors read."""

import ast
import asyncio
import os
import selectors
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ouroloop
import pytest

ROLES = {
    "loop": "loop dest_loop source_loop main_loop _loop",
    "transport": "transport _transport transp",
    "handle": "handle callback",
    "timer": "timer timer_handle",
    "future": "fut future _fut_waiter _waiter waiter dest source destination inner _write_fut",
    "task": "task _task _parent_task parent_task curr_task main_task t",
    "reader": "stream_reader _stream_reader _reader",
    "writer": "stream_writer _stream_writer _writer",
    "protocol": "protocol _protocol",
    "server": "server _server",
}
"""What the objects of these names are, all over asyncio's source."""

ROLE_OF = {name: role for role, names in ROLES.items() for name in names.split()}

WINDOWS = {"proactor_events", "windows_events", "windows_utils"}

OF_ITS_OWN = {"BaseEventLoop", "BaseSelectorEventLoop", "_UnixSelectorEventLoop", "Server"}
"""Stock loops and servers meet transports, handles and servers of their own kind alone, and a stock server its loop."""

EXCEPT = {
    ("future", "_log_destroy_pending"): "set, on what a loop runs: a task",
    ("future", "_Future__asyncio_awaited_by"): "of asyncio's own futures written in Python",
    ("future", "_get_snapshot"): "of futures of concurrent.futures",
    ("server", "_attach"): "a stock transport is given a stock loop's server",
    ("server", "_detach"): "the same",
    ("transport", "_process_exited"): "called by a stock loop that has spawned the process",
}


def private_attributes() -> Iterator[tuple[str, str, str]]:
    """The role of an object, the attribute that is used of it, and where."""
    for file in sorted(Path(asyncio.__file__).parent.glob("*.py")):
        if file.stem not in WINDOWS:
            yield from of_module(file.stem, ast.parse(file.read_text()))


def of_module(module: str, tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    for top in tree.body:
        its_own = isinstance(top, ast.ClassDef) and top.name in OF_ITS_OWN
        for node in ast.walk(top):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
                continue
            owner = node.value
            name = getattr(owner, "attr", getattr(owner, "id", ""))
            role = ROLE_OF.get(name)
            if role is None or node.attr.startswith("__"):
                continue
            if its_own and role not in {"future", "task", "protocol"}:
                continue
            yield role, node.attr, f"{module}.py:{node.lineno}"


USED: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
for _role, _attribute, _where in private_attributes():
    if (_role, _attribute) not in EXCEPT:
        USED[_role, _attribute].append(_where)


@asynccontextmanager
async def everything() -> AsyncIterator[dict[str, list[Any]]]:
    """Native objects of each role."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    transport, _ = await loop.create_connection(asyncio.Protocol, *address)
    datagrams, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    process, _ = await loop.subprocess_exec(
        asyncio.SubprocessProtocol, sys.executable, "-c", "pass", stdin=None, stdout=None
    )
    reader, writer = await ouroloop.open_connection(*address)
    handle, timer = loop.call_soon(int), loop.call_later(100, int)
    future = loop.create_future()
    try:
        yield {
            "loop": [loop],
            "transport": [transport, datagrams, process],
            "handle": [handle],
            "timer": [timer],
            "future": [future],
            "task": [asyncio.current_task()],
            "reader": [reader],
            "writer": [writer],
            "protocol": [writer.transport.get_protocol()],
            "server": [server],
        }
    finally:
        timer.cancel()
        await process._wait()
        for it in (transport, datagrams, process, writer, server):
            it.close()


def test_the_source_was_read() -> None:
    assert ("transport", "_force_close") in USED
    assert ("loop", "_add_reader") in USED
    assert len(USED) > 20


def test_what_asyncio_uses_is_there() -> None:
    async def main() -> list[str]:
        async with everything() as objects:
            return [
                f"{role}.{attribute} ({', '.join(where)})"
                for (role, attribute), where in sorted(USED.items())
                if not any(hasattr(it, attribute) for it in objects[role])
            ]

    assert ouroloop.run(main()) == []


@pytest.mark.parametrize("error", [None, ConnectionAbortedError("enough")])
def test_force_close(error: Exception | None) -> None:
    """As ``asyncio.sslproto.SSLProtocol`` does when its peer does not answer."""

    class Recorder(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set_result(exc)

    async def main() -> tuple[list[Any], bool]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        stream = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        datagrams = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))
        answers = []
        for transport, recorder in (stream, datagrams):
            transport._force_close(error)  # type: ignore[attr-defined]
            transport._force_close(ValueError("no more"))  # type: ignore[attr-defined]
            answers.append(await recorder.lost)
        server.close()
        return answers, stream[0].is_closing()

    expected = asyncio.run(main())
    assert expected == ([error, error], True)
    assert ouroloop.run(main()) == expected


def test_readers_under_their_private_names() -> None:
    async def main() -> list[Any]:
        loop: Any = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            came = loop.create_future()
            handle = loop._add_reader(near, came.set_result, "readable")
            far.send(b"x")
            seen = [await came, handle.cancelled(), loop._remove_reader(near)]
            came = loop.create_future()
            handle = loop._add_writer(near, lambda: came.done() or came.set_result("writable"))
            seen += [await came, loop._remove_writer(near), loop._remove_writer(near)]
            return [*seen, handle.cancelled(), isinstance(handle, asyncio.Handle)]

    expected = asyncio.run(main())
    assert expected == ["readable", False, True, "writable", True, False, True, True]
    assert ouroloop.run(main()) == expected


def test_what_is_ready_and_scheduled() -> None:
    async def main() -> list[Any]:
        loop: Any = asyncio.get_running_loop()
        await asyncio.sleep(0)
        seen: list[Any] = [len(loop._ready), len(loop._scheduled)]
        handles = [loop.call_soon(print), loop.call_later(100, print)]
        task = loop.create_task(asyncio.sleep(0))
        seen += [len(loop._ready), len(loop._scheduled), bool(loop._ready)]
        await task
        handles[1].cancel()
        return [*seen, len(loop._ready)]

    expected = asyncio.run(main())
    assert ouroloop.run(main()) == expected


def test_what_the_entries_are_about() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        handle = loop.call_soon(print)
        task = loop.create_task(asyncio.sleep(0))
        assert task in loop._ready
        assert handle in loop._ready or print in loop._ready
        timer = loop.call_later(100, print, 1)
        assert len(loop._scheduled) == 1
        assert timer in loop._scheduled or print in loop._scheduled
        timer.cancel()
        assert loop._scheduled == ()
        handle.cancel()
        await task

    ouroloop.run(main())


def test_the_selector_tells_what_is_watched() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        near, far = socket.socketpair()
        read, write = os.pipe()
        loop.add_reader(near, print)
        loop.add_writer(write, print)
        watched = loop._selector.get_map()
        assert {near.fileno(), write} <= set(watched)
        key = watched[near.fileno()]
        assert isinstance(key, selectors.SelectorKey)
        assert (key.fileobj, key.fd, key.events) == (near, near.fileno(), selectors.EVENT_READ)
        assert loop._selector.get_key(near) == key
        assert loop._selector.get_key(write).events == selectors.EVENT_WRITE
        reader, writer = loop._selector.get_key(write).data
        assert (reader, isinstance(writer, asyncio.Handle)) == (None, True)
        with pytest.raises(KeyError):
            loop._selector.get_key(far)
        loop.remove_reader(near)
        loop.remove_writer(write)
        assert not {near.fileno(), write} & set(loop._selector.get_map())
        for descriptor in (read, write):
            os.close(descriptor)
        near.close()
        far.close()

    ouroloop.run(main())


def test_state() -> None:
    def handler(loop: Any, context: Any) -> None:
        pass

    async def main() -> list[Any]:
        loop: Any = asyncio.get_running_loop()
        seen = [loop._thread_id == threading.get_ident(), loop._stopping, loop._exception_handler]
        loop.set_exception_handler(handler)
        seen += [loop._exception_handler is handler, loop._task_factory, loop._debug]
        loop.set_debug(True)
        seen += [loop._debug, loop._clock_resolution]
        loop.set_debug(False)
        loop.stop()
        seen.append(loop._stopping)
        return seen

    answers = []
    for loop in (asyncio.new_event_loop(), ouroloop.new_event_loop()):
        any_loop: Any = loop
        task = loop.create_task(main())
        loop.run_until_complete(task)
        answers.append([*task.result(), any_loop._thread_id, any_loop._stopping, any_loop._closed])
        loop.close()
    assert answers[0] == answers[1]
    assert answers[0][7] == time.get_clock_info("monotonic").resolution


def test_derived_loops_may_use_the_names() -> None:
    class Own(ouroloop.Loop):
        def __init__(self) -> None:
            super().__init__()
            self._ready = ["mine"]
            self._selector = None

    loop = Own()
    assert (loop._ready, loop._selector) == (["mine"], None)
    assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1
    loop.close()


def test_a_closed_loop_has_nothing() -> None:
    loop: Any = ouroloop.new_event_loop()
    loop.call_soon(print)
    loop.call_later(1, print)
    loop.close()
    assert (loop._ready, loop._scheduled, loop._transports) == ((), (), {})
    assert loop._selector.get_map() == {}
