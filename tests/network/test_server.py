"""The life of a server."""

import asyncio
import gc
import socket
import sys
import weakref

import pytest

from tests.support.loops import FACTORIES, HOST, Factory, Run, until
from tests.support.releases import stock_has

from .peers import Serving, address_of, serve


def test_wait_closed_waits_for_both(run: Run, made: list[Serving]) -> None:
    async def main() -> None:
        server = await serve()
        early = asyncio.ensure_future(server.wait_closed())
        with socket.create_connection(address_of(server)):
            await until(lambda: len(made) == 1)
            assert not early.done()
            server.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not early.done()
            late = asyncio.ensure_future(server.wait_closed())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            # Python 3.11 does not wait for the connections of a closed server.
            assert late.done() == (sys.version_info < (3, 12))
        await early
        await late
        assert made[0].lost
        await server.wait_closed()

    run(main())


def test_close_without_connections_ends_waiting(run: Run) -> None:
    async def main() -> None:
        server = await serve()
        waiting = asyncio.ensure_future(server.wait_closed())
        await asyncio.sleep(0)
        server.close()
        await waiting

    run(main())


def test_async_with_closes(run: Run) -> None:
    async def main() -> None:
        async with await serve() as server:
            assert server.is_serving()
        assert server.sockets == ()

    run(main())


def test_serve_forever_ends_by_cancellation(run: Run) -> None:
    async def main() -> None:
        server = await serve(start_serving=False)
        forever = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0)
        assert server.is_serving()
        with pytest.raises(RuntimeError) as error:
            await server.serve_forever()
        text = f"server {server!r} is already being awaited on serve_forever()"
        assert str(error.value) == text
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever
        assert not server.is_serving()
        with pytest.raises(RuntimeError) as error:
            await server.serve_forever()
        assert str(error.value) == f"server {server!r} is closed"

    run(main())


def test_close_ends_serve_forever(run: Run) -> None:
    async def main() -> None:
        server = await serve()
        forever = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await forever

    run(main())


def test_cancelled_serve_forever_and_connections(
    run: Run, factory: Factory, made: list[Serving]
) -> None:
    if factory is FACTORIES["asyncio"]:
        closes = stock_has((3, 13, 15), (3, 14, 7))
    else:
        closes = sys.version_info >= (3, 12)

    async def main() -> None:
        server = await serve()
        forever = asyncio.ensure_future(server.serve_forever())
        with socket.create_connection(address_of(server)):
            await until(lambda: len(made) == 1)
            forever.cancel()
            _done, pending = await asyncio.wait([forever], timeout=0.02)
            # They are closed with the server.
            assert made[0].lost is closes
            # From 3.12 on it waits for them.
            assert bool(pending) == (sys.version_info >= (3, 12) and not closes)
        with pytest.raises(asyncio.CancelledError):
            await forever
        await until(lambda: made[0].lost)

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="new in Python 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_clients_can_be_closed(run: Run, made: list[Serving], method: str) -> None:
    async def main() -> None:
        server = await serve()
        clients = [socket.create_connection(address_of(server)) for _ in range(3)]
        await until(lambda: len(made) == 3)
        # One has ended already.
        clients.pop().close()
        await until(lambda: any(each.lost for each in made))
        server.close()
        getattr(server, method)()
        await server.wait_closed()
        assert all(each.lost for each in made)
        for client in clients:
            client.close()

    run(main())


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="older than Python 3.13")
def test_older_servers_cannot_close_clients(run: Run) -> None:
    async def main() -> None:
        async with await serve() as server:
            assert not hasattr(server, "close_clients")
            assert not hasattr(server, "abort_clients")

    run(main())


def test_a_closed_server_is_collected(run_native: Run, made: list[Serving]) -> None:
    async def main() -> None:
        server = await serve()
        with socket.create_connection(address_of(server)):
            await until(lambda: len(made) == 1)
        await until(lambda: made[0].lost)
        server.close()
        gone = weakref.ref(server)
        del server
        gc.collect()
        assert gone() is None

    run_native(main())


def test_a_server_lives_while_it_serves(run: Run, made: list[Serving]) -> None:
    async def main() -> None:
        server = await serve()
        address, server_of = address_of(server), weakref.ref(server)
        del server
        gc.collect()
        with socket.create_connection(address):
            await until(lambda: len(made) == 1)
        await until(lambda: made[0].lost)
        found = server_of()
        assert found is not None
        found.close()

    run(main())


def test_a_server_outlives_its_loop() -> None:
    for factory in FACTORIES.values():
        loop = factory()
        server = loop.run_until_complete(loop.create_server(Serving, HOST, 0))
        loop.close()
        server.close()
        assert server.sockets == ()
