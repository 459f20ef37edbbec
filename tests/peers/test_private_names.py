"""The private names of asyncio's objects that other projects touch are there, and mean what they mean in asyncio.

The first test reads the projects' sources, so that a later release that reaches for something else is noticed. The
others hold the names that were found to what each project wants of them.
"""

import ast
import asyncio
import gc
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ouroloop
import pytest

from .conftest import HOST

PROJECTS = [
    *("aiohttp", "aioquic", "aiosqlite", "anyio", "asyncpg", "asyncssh", "distributed", "grpc"),
    *("httpcore", "httpx", "hypercorn", "psycopg", "redis", "tornado", "uvicorn", "websockets"),
]

MEANT: dict[tuple[str, str], set[str]] = {
    ("anyio", "_paused"): {"stream protocol"},
    ("anyio", "_sock"): set(),  # a socket of trio's
    ("distributed", "_server"): set(),  # of its own connections
}
"""Names that other objects have, too, and of which kinds the project means them."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def touched(project: str) -> set[str]:
    """Return the private attributes that a project touches and does not define itself."""
    spec = importlib.util.find_spec(project)
    if spec is None or spec.origin is None:
        pytest.skip(f"{project} is not here")
    names: set[str] = set()
    own: set[str] = set()
    for path in Path(spec.origin).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    own.add(name)
                case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                    own.add(name)
                case ast.AnnAssign(target=ast.Name(id=name)):
                    own.add(name)
                case ast.Attribute(attr=name):
                    names.add(name)
                case ast.Call(
                    func=ast.Name(id="getattr" | "hasattr" | "setattr"),
                    args=[_, ast.Constant(value=str(name)), *_],
                ):
                    names.add(name)
    return {name for name in names - own if is_private(name)}


async def objects() -> dict[str, Any]:
    """Make one object of each kind that projects get from a loop or from asyncio's names."""
    loop = asyncio.get_running_loop()

    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(serve, HOST, 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    datagram, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (HOST, 0))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
    assert process.stdin
    process.stdin.close()
    await process.wait()
    task = asyncio.ensure_future(asyncio.sleep(0))
    timer = loop.call_later(60, int)
    found = {
        "loop": loop,
        "task": task,
        "future": loop.create_future(),
        "handle": loop.call_soon(int),
        "timer handle": timer,
        "server": server,
        "stream transport": writer.transport,
        "stream protocol": writer.transport.get_protocol(),
        "reader": reader,
        "writer": writer,
        "datagram transport": datagram,
        "process": process,
        "process protocol": process._protocol,
        "lock": asyncio.Lock(),
        "event": asyncio.Event(),
        "condition": asyncio.Condition(),
        "semaphore": asyncio.Semaphore(),
        "queue": asyncio.Queue(),
    }
    await task
    timer.cancel()
    datagram.close()
    writer.close()
    await writer.wait_closed()
    await served.wait()
    server.close()
    await server.wait_closed()
    return found


def made_by(factory: Callable[[], asyncio.AbstractEventLoop]) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(objects())


@pytest.mark.parametrize("project", PROJECTS)
def test_what_projects_touch_is_there(project):
    names = touched(project)
    standard = made_by(asyncio.SelectorEventLoop)
    ouroloop.install()
    native = made_by(asyncio.new_event_loop)
    assert {
        f"{kind}.{name}"
        for kind, instance in standard.items()
        for name in names
        if kind in MEANT.get((project, name), standard) and hasattr(instance, name)
        if not hasattr(native[kind], name)
    } == set()


@pytest.fixture(params=["asyncio", "loop", "installed"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Stock asyncio, a native loop, and after ``install()``."""
    if request.param == "installed":
        ouroloop.install()
    stock = request.param == "asyncio"
    factory = asyncio.SelectorEventLoop if stock else ouroloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner


def test_anyio_finds_the_task_that_the_loop_was_started_with(runner):
    pytest.importorskip("anyio")
    backend = pytest.importorskip("anyio._backends._asyncio")

    async def child():
        return backend.find_root_task()

    async def main():
        return await asyncio.create_task(child()) is asyncio.current_task()

    assert runner.run(main())


def test_anyio_sees_what_a_task_waits_for_and_whether_it_will_be_cancelled(runner):
    async def main():
        event = asyncio.Event()
        task = asyncio.create_task(event.wait())
        seen = [task._fut_waiter, task._must_cancel]
        await asyncio.sleep(0)
        waiter = task._fut_waiter
        seen += [isinstance(waiter, asyncio.Future), waiter.done(), task._must_cancel]
        event.set()
        seen += [waiter.done()]
        await task
        fresh = asyncio.create_task(event.wait())
        fresh.cancel()
        seen += [fresh._must_cancel, task._fut_waiter]
        await asyncio.gather(fresh, return_exceptions=True)
        return [*seen, fresh._must_cancel]

    assert runner.run(main()) == [None, False, True, False, False, True, True, None, False]


def test_anyio_sees_a_stream_writer_pause(runner):
    async def main():
        release, served = asyncio.Event(), asyncio.Event()

        async def slow(reader, writer):
            await release.wait()
            await reader.read()
            writer.close()
            await writer.wait_closed()
            served.set()

        async with await asyncio.start_server(slow, HOST, 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            seen = [writer._protocol._paused]
            writer.write(bytes(20_000_000))
            seen += [writer._protocol._paused]
            release.set()
            await writer.drain()
            seen += [writer._protocol._paused]
            writer.close()
            await writer.wait_closed()
            await served.wait()
        return seen

    assert runner.run(main()) == [False, True, False]


def test_anyio_can_end_the_default_executor_by_hand(runner):
    async def main():
        loop = asyncio.get_running_loop()
        seen = [loop._default_executor, loop._executor_shutdown_called]
        await loop.run_in_executor(None, int)
        loop._executor_shutdown_called = True
        loop._default_executor.shutdown(wait=True)
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            await loop.run_in_executor(None, int)
        return seen

    assert runner.run(main()) == [None, False]


def test_tornado_keeps_a_task_from_reporting_that_it_was_dropped(runner):
    told = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))

        async def never():
            await loop.create_future()

        for reports in (True, False):
            task = loop.create_task(never())
            await asyncio.sleep(0)
            task._log_destroy_pending = reports
            del task
            gc.collect()

    runner.run(main())
    assert told == ["Task was destroyed but it is pending!"]


def test_tornado_asks_where_a_future_was_made(runner):
    async def main():
        loop = asyncio.get_running_loop()
        without = getattr(loop.create_future(), "_source_traceback", ())
        loop.set_debug(True)
        return without, loop.create_future()._source_traceback

    without, traceback = runner.run(main())
    assert not without
    assert "main" in [frame.name for frame in traceback[-2:]]  # asyncio's own frame may follow


def test_asyncpg_takes_what_it_likes_from_its_queue_and_wakes_who_waits(runner):
    class Stack(asyncio.LifoQueue):
        def take_first(self):
            item = self._queue.pop(0)
            self._wakeup_next(self._putters)
            return item

    async def main():
        queue = Stack(maxsize=2)
        await queue.put(1)
        await queue.put(2)
        putting = asyncio.create_task(queue.put(3))
        await asyncio.sleep(0)
        seen = [putting.done(), queue.take_first()]
        await putting
        return [*seen, await queue.get(), await queue.get()]

    assert runner.run(main()) == [False, 1, 3, 2]


def test_distributed_asks_a_semaphore_for_its_value(runner):
    async def main():
        semaphore = asyncio.Semaphore(3)
        async with semaphore:
            return semaphore._value

    assert runner.run(main()) == 2
