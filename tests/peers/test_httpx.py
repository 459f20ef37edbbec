"""httpx (by way of anyio) against uvicorn, both on one native loop."""

import asyncio
import contextlib
import hashlib
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .conftest import HOST

httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")

PIECES = [random.Random(size).randbytes(size) for size in (7, 200_000, 1, 40_000)]


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    """Answer the body as it comes, and its digest behind it."""
    seen = hashlib.sha256()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        seen.update(message["body"])
        await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": seen.digest()})


@contextlib.asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[str]:
    """Run uvicorn in this loop; the address."""
    server = uvicorn.Server(
        uvicorn.Config(mirror, lifespan="off", log_config=None, http="httptools", **settings)
    )
    with socket.create_server((HOST, 0)) as listener:
        task = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            yield f"{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def pieces() -> AsyncIterator[bytes]:
    for piece in PIECES:
        yield piece
        await asyncio.sleep(0)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_body_goes_up_and_comes_down_in_a_stream(run, certificates, tls):
    async def main():
        settings = {}
        if tls:
            settings = {"ssl_certfile": certificates.certificate, "ssl_keyfile": certificates.key}
        received = b""
        async with serving(**settings) as address:
            url = f"http{'s' if tls else ''}://{address}"
            trust = certificates.client() if tls else False
            async with (
                httpx.AsyncClient(verify=trust, trust_env=False) as client,
                client.stream("POST", url, content=pieces()) as answer,
            ):
                async for piece in answer.aiter_bytes():
                    received += piece
        return received

    body = b"".join(PIECES)
    assert run(main()) == body + hashlib.sha256(body).digest()


def test_many_requests_share_a_few_connections(run):
    async def ask(client, url, number):
        body = random.Random(number).randbytes(number * 500)
        answer = await client.post(url, content=body)
        return answer.content == body + hashlib.sha256(body).digest()

    async def main():
        limits = httpx.Limits(max_connections=5)
        async with (
            serving() as address,
            httpx.AsyncClient(verify=False, trust_env=False, limits=limits) as client,
        ):
            return await asyncio.gather(
                *(ask(client, f"http://{address}", number) for number in range(40))
            )

    assert run(main()) == [True] * 40


def test_a_silent_server_is_given_up(run):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    async def main():
        async with (
            await asyncio.start_server(silent, HOST, 0) as listener,
            httpx.AsyncClient(
                verify=False, trust_env=False, timeout=httpx.Timeout(30, read=0.05)
            ) as client,
        ):
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"http://{HOST}:{listener.sockets[0].getsockname()[1]}")

    run(main())
