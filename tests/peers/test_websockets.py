"""websockets on both sides."""

import asyncio
import random

import pytest

from .conftest import HOST

server = pytest.importorskip("websockets.asyncio.server")
client = pytest.importorskip("websockets.asyncio.client")
exceptions = pytest.importorskip("websockets.exceptions")


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def address(serving):
    return f"{HOST}:{serving.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_messages_come_back_whole(run, certificates, tls):
    messages = ["", "ouroloop", random.Random(1).randbytes(900_000), b"", "a snake, 🐍"]

    async def main():
        async with server.serve(
            echo, HOST, 0, ssl=certificates.server() if tls else None
        ) as serving:
            url = f"ws{'s' if tls else ''}://{address(serving)}"
            trust = {"ssl": certificates.client()} if tls else {}
            async with client.connect(url, proxy=None, **trust) as connection:
                for message in messages:
                    await connection.send(message)
                answers = [await connection.recv() for _ in messages]
                await connection.send(["in ", "three ", "frames"])
                return [*answers, await connection.recv(), await (await connection.ping()) >= 0]

    assert run(main()) == [*messages, "in three frames", True]


def test_many_connections_talk_at_once(run):
    async def talk(url, number):
        async with client.connect(url, proxy=None) as connection:
            for turn in range(10):
                await connection.send(f"{number} {turn}")
                assert await connection.recv() == f"{number} {turn}"
        return connection.close_code

    async def main():
        async with server.serve(echo, HOST, 0) as serving:
            url = f"ws://{address(serving)}"
            return await asyncio.gather(*(talk(url, number) for number in range(20)))

    assert run(main()) == [1000] * 20


def test_a_server_that_ends_tells_its_clients(run):
    async def main():
        serving = await server.serve(echo, HOST, 0)
        connection = await client.connect(f"ws://{address(serving)}", proxy=None)
        await connection.send("one")
        assert await connection.recv() == "one"
        serving.close()
        with pytest.raises(exceptions.ConnectionClosedOK) as closed:
            await connection.recv()
        await serving.wait_closed()
        await connection.wait_closed()
        return closed.value.rcvd.code

    assert run(main()) == 1001


def test_a_peer_that_is_not_heard_of_is_given_up(run):
    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")  # and no answer to the handshake
        await reader.read()
        writer.close()

    async def main():
        listener = await asyncio.start_server(silent, HOST, 0)
        async with listener:
            with pytest.raises(TimeoutError):
                await client.connect(f"ws://{address(listener)}", proxy=None, open_timeout=0.05)

    run(main())
