"""What becomes of a server's callback that fails: just what the running asyncio makes of it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.loops import HOST

from .conftest import STOCK, World


async def fails(_: Any, writer: Any) -> None:
    raise ValueError("failed in a task")


def raises(_: Any, writer: Any) -> None:
    raise ValueError("raised at once")


async def is_cancelled(_: Any, writer: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


def is_plain(_: Any, writer: Any) -> None:
    writer.write(b"plain")
    writer.close()


async def ends(_: Any, writer: Any) -> None:
    writer.write(b"ended")
    writer.close()


async def told(world: World, callback: Callable[..., Any]) -> tuple[list[Any], bytes, bool]:
    """The reports of one connection, what the client got and whether the server's side was closed."""
    loop = asyncio.get_running_loop()
    reports: list[Any] = []

    def handler(_: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # A callback's description has addresses in it.
        message = context["message"].partition("(")[0]
        reports.append((message, repr(error), sorted(context.keys() - {"source_traceback"})))

    loop.set_exception_handler(handler)
    writers: list[Any] = []

    def note(reader: Any, writer: Any) -> Any:
        writers.append(writer)
        return callback(reader, writer)

    server = await world.start_server(note, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await world.open_connection(HOST, port)
    while not writers:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    closing = writers[0].is_closing()
    writers[0].close()
    got = await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    with contextlib.suppress(TimeoutError):
        await server.wait_closed()
    return reports, got, closing


@pytest.mark.parametrize("callback", [fails, raises, is_cancelled, is_plain, ends])
def test_same_reports(world: World, callback: Callable[..., Any]) -> None:
    stories = []
    for each in (STOCK, world):
        with asyncio.Runner(loop_factory=each.new_loop) as runner:
            stories.append(runner.run(told(each, callback)))
    assert stories[1] == stories[0]
    if callback is fails:
        assert stories[0][0][0][0] == "Unhandled exception in client_connected_cb"


def test_a_rejected_connection_is_aborted(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        reports: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: reports.append(context))
        protocol = world.StreamReaderProtocol(world.StreamReader(loop=loop), loop=loop)
        protocol._reject_connection = True
        server = await world.start_server(is_plain, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(lambda: protocol, HOST, port)
        assert transport.is_closing()
        assert [context["message"][:38] for context in reports] == [
            "An open stream was garbage collected p"
        ]
        await protocol._get_close_waiter(None)
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=world.new_loop) as runner:
        runner.run(main())
