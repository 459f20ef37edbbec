"""From Python 3.12 on, a second ``close()`` takes the transport's hold on the connection away."""

import sys
import weakref

import pytest

from tests.support.certificates import Contexts
from tests.support.loops import Run, until
from tests.support.protocols import Echo, Recorder

from .peers import connect, serving


@pytest.mark.skipif(sys.version_info < (3, 12), reason="since Python 3.12")
def test_the_context_goes_with_the_connection(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        context = contexts.client()
        gone = weakref.ref(context)
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address, ssl=context)
            del context
            transport = client.transport
            transport.close()
            transport.close()
            await until(lambda: client.lost)
            assert gone() is None
            assert transport.is_closing()

    run(main())


def test_nothing_is_refused_afterwards(run_native: Run, contexts: Contexts) -> None:
    """asyncio raises ``AttributeError`` from what only asks."""

    async def main() -> None:
        async with serving(contexts, Echo) as (address, made):
            client = await connect(contexts, Recorder, address)
            transport = client.transport
            transport.write(b"sent")
            transport.close()
            transport.close()
            assert transport.get_extra_info("peername") == address
            assert transport.get_protocol() is client
            await until(lambda: client.lost)
            assert made[0].data == b"sent"
            transport.write(b"not sent")
            transport.writelines([b"not", b"sent"])
            transport.pause_reading()
            transport.resume_reading()
            transport.set_write_buffer_limits(high=100)
            transport.close()
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert transport.get_extra_info("peername", "default") in {"default", address}

    run_native(main())
