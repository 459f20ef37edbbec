"""aiohttp on both sides: bodies in chunks, web sockets, TLS."""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .conftest import HOST

aiohttp = pytest.importorskip("aiohttp")
web = pytest.importorskip("aiohttp.web")

PIECES = [random.Random(size).randbytes(size) for size in (1, 100, 70_000, 3, 300_000)]
BODY = b"".join(PIECES)


async def digest(request: Any) -> Any:
    """Read the body as it comes; answer what it was."""
    seen = hashlib.sha256()
    async for piece in request.content.iter_any():
        seen.update(piece)
    chunked = request.headers.get("Transfer-Encoding")
    return web.json_response({"sha256": seen.hexdigest(), "encoding": chunked})


async def download(request: Any) -> Any:
    """Answer the pieces one after the other."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for piece in PIECES:
        await response.write(piece)
    await response.write_eof()
    return response


async def upper(request: Any) -> Any:
    """Send texts back in capitals and bytes backwards, until told to stop."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data[::-1])
        elif message.data == "stop":
            await socket.close(code=4000, message=b"as you wish")
        else:
            await socket.send_str(message.data.upper())
    return socket


@contextlib.asynccontextmanager
async def serving(context: Any = None) -> AsyncIterator[str]:
    """Serve the three handlers; the address."""
    application = web.Application()
    application.router.add_post("/digest", digest)
    application.router.add_get("/download", download)
    application.router.add_get("/upper", upper)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
        yield f"http{'s' if context else ''}://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def pieces() -> AsyncIterator[bytes]:
    for piece in PIECES:
        yield piece
        await asyncio.sleep(0)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_bodies_pass_in_chunks(run, certificates, tls):
    async def main():
        trust = certificates.client() if tls else True
        async with (
            serving(certificates.server() if tls else None) as url,
            aiohttp.ClientSession() as client,
        ):
            async with client.post(f"{url}/digest", data=pieces(), ssl=trust) as answer:
                uploaded = await answer.json()
            async with client.get(f"{url}/download", ssl=trust) as answer:
                downloaded = await answer.read()
        return uploaded, downloaded

    uploaded, downloaded = run(main())
    assert uploaded == {"sha256": hashlib.sha256(BODY).hexdigest(), "encoding": "chunked"}
    assert downloaded == BODY


def test_many_requests_at_once_keep_their_answers(run):
    async def ask(client, url, number):
        body = random.Random(number).randbytes(number * 1000)
        async with client.post(f"{url}/digest", data=body) as answer:
            return (await answer.json())["sha256"] == hashlib.sha256(body).hexdigest()

    async def main():
        async with serving() as url, aiohttp.ClientSession() as client:
            return await asyncio.gather(*(ask(client, url, number) for number in range(60)))

    assert run(main()) == [True] * 60


def test_a_web_socket_talks_and_is_closed_by_the_server(run):
    async def main():
        async with (
            serving() as url,
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{url}/upper") as socket,
        ):
            await socket.send_str("ouroloop")
            assert await socket.receive_str() == "OUROLOOP"
            await socket.send_bytes(BODY)
            assert await socket.receive_bytes() == BODY[::-1]
            await socket.send_str("stop")
            end = await socket.receive()
            return end.type, end.data, end.extra, socket.close_code

    assert run(main()) == (aiohttp.WSMsgType.CLOSE, 4000, "as you wish", 4000)


def test_a_request_that_is_cancelled_ends_at_the_server_too(run):
    async def main():
        arrived, left = asyncio.Event(), asyncio.Event()

        async def never(request):
            arrived.set()
            try:
                await asyncio.Event().wait()
            finally:
                left.set()

        application = web.Application()
        application.router.add_get("/", never)
        runner = web.AppRunner(application, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        async with aiohttp.ClientSession() as client:
            asking = asyncio.ensure_future(client.get(f"http://{HOST}:{runner.addresses[0][1]}"))
            await arrived.wait()
            asking.cancel()
            await left.wait()
        await runner.cleanup()
        return asking.cancelled()

    assert run(main())
