"""tornado on both sides: its streams watch raw sockets and do TLS by themselves."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .conftest import HOST

web = pytest.importorskip("tornado.web")
httpclient = pytest.importorskip("tornado.httpclient")
httpserver = pytest.importorskip("tornado.httpserver")
netutil = pytest.importorskip("tornado.netutil")
websocket = pytest.importorskip("tornado.websocket")

BODY = random.Random(8).randbytes(700_000)


class Reverse(web.RequestHandler):
    """Answers the body backwards, in two pieces."""

    async def post(self) -> None:
        answer = self.request.body[::-1]
        self.write(answer[:1000])
        await self.flush()
        self.write(answer[1000:])


class Upper(websocket.WebSocketHandler):
    """Sends back capitals."""

    async def on_message(self, message: Any) -> None:
        await self.write_message(message.upper(), binary=isinstance(message, bytes))


@contextlib.asynccontextmanager
async def serving(context: Any = None) -> AsyncIterator[str]:
    """Serve; host and port."""
    application = web.Application([("/reverse", Reverse), ("/upper", Upper)])
    server = httpserver.HTTPServer(application, ssl_options=context)
    sockets = netutil.bind_sockets(0, HOST)
    server.add_sockets(sockets)
    try:
        yield f"{HOST}:{sockets[0].getsockname()[1]}"
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_bodies_come_back_whole(run, certificates, tls):
    async def main():
        async with serving(certificates.server() if tls else None) as address:
            client = httpclient.AsyncHTTPClient(force_instance=True)
            settings = {"headers": {"Content-Type": "application/octet-stream"}}
            if tls:
                settings["ssl_options"] = certificates.client()
            url = f"http{'s' if tls else ''}://{address}/reverse"
            bodies = [BODY, *(b"%d" % number for number in range(15))]
            answers = await asyncio.gather(
                *(client.fetch(url, method="POST", body=body, **settings) for body in bodies)
            )
            client.close()
            return [answer.body for answer in answers] == [body[::-1] for body in bodies]

    assert run(main())


def test_a_web_socket_talks(run):
    async def main():
        async with serving() as address:
            connection = await websocket.websocket_connect(f"ws://{address}/upper")
            answers = []
            for message in ("ouroloop", b"x" * 100_000):
                await connection.write_message(message, binary=isinstance(message, bytes))
                answers.append(await connection.read_message())
            connection.close(1000)
            return [*answers, await connection.read_message(), connection.close_code]

    assert run(main()) == ["OUROLOOP", b"X" * 100_000, None, 1000]
