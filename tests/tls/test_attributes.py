"""A transport of TLS takes attributes, as those of asyncio do."""

import gc
import weakref
from unittest import mock

from tests.support.certificates import Contexts
from tests.support.loops import Run, until
from tests.support.protocols import Echo, Recorder

from .peers import connect, serving


def test_attributes(run: Run, contexts: Contexts) -> None:
    async def main() -> "weakref.ref[Recorder]":
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            transport = client.transport
            transport.mark = mark = Recorder()
            mark.transport = transport
            assert vars(transport)["mark"] is mark
            with mock.patch.object(transport, "write") as write:
                transport.write(b"nowhere")
            write.assert_called_once_with(b"nowhere")
            transport.write(b"there")
            await until(lambda: client.data == b"there")
            transport.close()
            await until(lambda: client.lost)
            return weakref.ref(mark)

    gone = run(main())
    gc.collect()
    assert gone() is None
