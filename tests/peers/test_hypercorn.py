"""hypercorn over TLS, asked by httpx in HTTP/2."""

import asyncio
import contextlib
import hashlib
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .conftest import HOST, Certificates

pytest.importorskip("h2")
httpx = pytest.importorskip("httpx")
pytest.importorskip("hypercorn")
hypercorn = pytest.importorskip("hypercorn.asyncio")
config = pytest.importorskip("hypercorn.config")


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    """Answer the whole body and its digest."""
    body = b""
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        body += message["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body + hashlib.sha256(body).digest()})


@contextlib.asynccontextmanager
async def serving(certificates: Certificates) -> AsyncIterator[str]:
    """Run hypercorn in this loop; the address."""
    with socket.create_server((HOST, 0)) as listener:
        settings = config.Config()
        settings.bind = [f"fd://{listener.fileno()}"]
        settings.certfile, settings.keyfile = certificates.certificate, certificates.key
        settings.errorlog = None
        stop = asyncio.Event()
        task = asyncio.ensure_future(
            hypercorn.serve(mirror, settings, shutdown_trigger=stop.wait, mode="asgi")
        )
        try:
            yield f"https://{HOST}:{listener.getsockname()[1]}"
        finally:
            stop.set()
            await task
            listener.detach()  # hypercorn owned the number and has closed it


def test_streams_share_one_connection(run, certificates):
    async def ask(client, url, number):
        body = random.Random(number).randbytes(number * number * 100)
        answer = await client.post(url, content=body)
        right = answer.content == body + hashlib.sha256(body).digest()
        return answer.http_version, right

    async def main():
        async with (
            serving(certificates) as url,
            httpx.AsyncClient(
                http1=False, http2=True, verify=certificates.client(), trust_env=False
            ) as client,
        ):
            return await asyncio.gather(*(ask(client, url, number) for number in range(30)))

    assert run(main()) == [("HTTP/2", True)] * 30


def test_http_1_is_spoken_to_who_asks_for_it(run, certificates):
    async def main():
        async with (
            serving(certificates) as url,
            httpx.AsyncClient(verify=certificates.client(), trust_env=False) as client,
        ):
            answer = await client.post(url, content=b"one")
            return answer.http_version, answer.content

    assert run(main()) == ("HTTP/1.1", b"one" + hashlib.sha256(b"one").digest())
