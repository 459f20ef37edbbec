"""Unit tests with mocks of asyncio's objects come out the same with native ones in their place."""

import asyncio
import inspect
import subprocess
import sys

import pytest

PRELUDE = """
import asyncio, inspect
from unittest import mock
def kinds(double, names):
    return [(name, type(getattr(double, name)).__name__) for name in names.split()]
"""

CASES = {
    "functions": """
for name in "sleep gather wait wait_for open_connection start_server to_thread shield create_task".split():
    double = mock.create_autospec(getattr(asyncio, name))
    print(name, type(double).__name__, inspect.iscoroutinefunction(double))
    with mock.patch.object(asyncio, name, autospec=True) as put:
        print(type(put).__name__, str(inspect.signature(put)))
    with mock.patch.object(asyncio, name) as put:
        print(type(put).__name__)
""",
    "classes": """
NAMES = {
    "StreamReader": "read readline readexactly readuntil feed_data feed_eof at_eof",
    "StreamWriter": "drain wait_closed start_tls write close is_closing get_extra_info",
    "Queue": "get put join get_nowait put_nowait qsize",
    "Lock": "acquire release locked", "Event": "wait set is_set", "Semaphore": "acquire release",
    "Condition": "wait wait_for notify notify_all", "Barrier": "wait abort reset",
    "TaskGroup": "create_task", "Timeout": "when reschedule expired",
}
for cls, names in NAMES.items():
    cls = getattr(asyncio, cls)
    for make in (mock.Mock, mock.MagicMock, mock.AsyncMock):
        print(cls.__name__, kinds(make(spec=cls), names))
    double = mock.create_autospec(cls)
    print(kinds(double.return_value, names))
""",
    "loop": """
async def main():
    loop = asyncio.get_running_loop()
    names = "create_connection create_server getaddrinfo sock_recv shutdown_asyncgens subprocess_exec"
    for make in (mock.Mock, mock.MagicMock):
        print(kinds(make(spec=loop), names + " call_soon run_in_executor call_later"))
    double = mock.create_autospec(loop)
    print(kinds(double, names + " call_soon run_in_executor stop"))
    try:
        double.create_server()
    except TypeError as error:
        print(error)
asyncio.run(main())
""",
    "patched on an object": """
async def main():
    loop = asyncio.get_running_loop()
    with mock.patch.object(loop, "create_connection", autospec=True, return_value=(1, 2)) as put:
        print(await loop.create_connection(None, "h", 1))
        put.assert_awaited_once_with(None, "h", 1)
        try:
            loop.create_connection(nonsense=1)
        except TypeError as error:
            print(error)
    queue = asyncio.Queue()
    with mock.patch.object(queue, "get", side_effect=[1, ValueError("x")]) as put:
        print(type(put).__name__, await queue.get())
        try:
            await queue.get()
        except ValueError as error:
            print(error)
    event = asyncio.Event()
    with mock.patch.object(event, "wait", autospec=True):
        await event.wait()
    with mock.patch.object(loop, "call_later", wraps=loop.call_later) as put:
        loop.call_later(0, print, "later")
        await asyncio.sleep(0)
        print(put.call_args.args[0])
    print(inspect.iscoroutinefunction(loop.create_connection))
asyncio.run(main())
""",
    "patched on a class": """
async def main():
    with mock.patch.object(asyncio.Queue, "get", autospec=True, return_value=7) as put:
        queue = asyncio.Queue()
        print(await queue.get(), put.call_args.args[0] is queue)
    with mock.patch.object(asyncio.StreamWriter, "drain", autospec=True) as put:
        writer = asyncio.StreamWriter(mock.Mock(), mock.Mock(), None, asyncio.get_running_loop())
        await writer.drain()
        print(put.await_count, put.call_args.args[0] is writer)
    with mock.patch.object(asyncio.StreamWriter, "write", autospec=True) as put:
        writer.write(b"x")
        print(put.call_args.args[0] is writer)
    with mock.patch.object(asyncio.StreamWriter, "close", autospec=True) as put:
        writer.close()
        print(put.call_args.args[0] is writer)
    with mock.patch.object(asyncio.Lock, "acquire", side_effect=TimeoutError):
        try:
            await asyncio.Lock().acquire()
        except TimeoutError:
            print("refused")
    print(await asyncio.Lock().acquire())
asyncio.run(main())
""",
    "a stream's double": """
async def talk(reader, writer):
    writer.write(b"hello\\n")
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer
async def main():
    reader = mock.create_autospec(asyncio.StreamReader, instance=True)
    writer = mock.create_autospec(asyncio.StreamWriter, instance=True)
    reader.readline.return_value = b"answer\\n"
    with mock.patch("asyncio.open_connection", return_value=(reader, writer)) as opened:
        print(type(opened).__name__, await talk(*await asyncio.open_connection("h", 1)))
    writer.write.assert_called_once_with(b"hello\\n")
    writer.drain.assert_awaited_once_with()
    print(writer.method_calls)
asyncio.run(main())
""",
    "wrapped": """
async def main():
    lock = asyncio.Lock()
    double = mock.AsyncMock(wraps=lock.acquire)
    print(await double(), lock.locked())
    double = mock.MagicMock(wraps=lock)
    double.release()
    print(lock.locked())
    async with mock.create_autospec(asyncio.Lock, instance=True) as entered:
        print(type(entered).__name__)
asyncio.run(main())
""",
}


def outcome(program: str, *how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *how, "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + (done.stderr.splitlines() or [""])[-1]


@pytest.mark.parametrize("name", CASES)
def test_as_with_stock_asyncio(name: str) -> None:
    expected = outcome(CASES[name])
    assert "Error" not in expected.splitlines()[-1]
    assert outcome(CASES[name], "-m", "ouroloop") == expected


def test_what_frameworks_ask_before_they_call() -> None:
    """A bound method of a native object that is given as a callback, on a native loop in debug mode."""
    import ouroloop

    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue = ouroloop.Queue()
        with pytest.raises(TypeError, match="coroutines cannot be used with call_soon"):
            loop.call_soon(queue.get)
        assert inspect.iscoroutinefunction(queue.get)

    ouroloop.run(main(), debug=True)
