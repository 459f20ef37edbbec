"""Who comes to a connection while OpenSSL works on it is refused: it has no lock, and asyncio crashes here."""

import asyncio
import asyncio.sslproto
import gc
import ssl
import threading
from typing import Any

import ouroloop
import pytest

from tests.support.certificates import Contexts
from tests.support.protocols import Echo, Recorder

from .peers import connect, serving


def machines() -> list[Any]:
    """Give the protocols that stand between transports and TLS."""
    return [each for each in gc.get_objects() if isinstance(each, asyncio.sslproto.SSLProtocol)]


@pytest.mark.parametrize("thread", [False, True], ids=["callback", "thread"])
def test_ciphertext_in_the_middle_of_the_handshake(contexts: Contexts, thread: bool) -> None:
    said: list[str] = []

    def feed() -> None:
        for machine in machines():
            try:
                machine.get_buffer(-1)[:5] = bytes(5)
                machine.buffer_updated(5)
            except RuntimeError as error:
                said.append(str(error))

    def choose(*_: object) -> None:
        if thread:
            other = threading.Thread(target=feed)
            other.start()
            other.join()
        else:
            feed()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(str(context.get("exception"))))
        context = contexts.server()
        context.sni_callback = choose
        async with serving(contexts, Echo, ssl=context) as (address, _):
            try:
                client = await connect(contexts, Recorder, address)
            except (ssl.SSLError, ConnectionError):
                return
            client.transport.abort()

    ouroloop.run(main())
    assert any("in the middle of a step" in text for text in said), said
