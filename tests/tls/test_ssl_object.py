"""The `ssl.SSLObject` of a connection, used beside the transport or taken from under it."""

import gc
from typing import Any

from tests.support.certificates import Contexts
from tests.support.loops import Factory, Run, reporting_runner_of, until
from tests.support.protocols import Echo, Recorder

from .peers import connect, serving


def test_what_is_written_by_the_object_leaves_with_the_next_write(
    run: Run, contexts: Contexts
) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            client = await connect(contexts, Recorder, address)
            await until(lambda: made and made[0].calls)
            client.transport.get_extra_info("ssl_object").write(b"by the object, ")
            client.transport.write(b"by the transport" + bytes(100_000))
            written = b"by the object, by the transport"
            await until(lambda: len(made[0].data) == len(written) + 100_000)
            assert made[0].data.startswith(written)
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


def test_the_object_reads_what_a_paused_transport_holds_back(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Recorder) as (address, made):
            client = await connect(contexts, Recorder, address)
            await until(lambda: made and made[0].calls)
            client.transport.pause_reading()
            made[0].transport.write(b"0123456789")
            await until(lambda: client.transport.get_read_buffer_size() > 0)
            assert client.transport.get_extra_info("ssl_object").read(4) == b"0123"
            made[0].transport.write(b"abc")
            client.transport.resume_reading()
            await until(lambda: client.data == b"456789abc")
            client.transport.close()
            await until(lambda: client.lost)

    run(main())


def test_an_object_that_outlives_its_connection(run: Run, contexts: Contexts) -> None:
    kept: list[Any] = []

    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            kept.append(client.transport.get_extra_info("ssl_object"))
            client.transport.write(b"x")
            await until(lambda: client.data == b"x")
            client.transport.abort()
            await until(lambda: client.lost)

    run(main())
    gc.collect()
    # It has memory of its own again to write to.
    assert kept[0].write(b"to nobody") == 9
    assert kept[0].version() == "TLSv1.3"


def test_an_object_whose_inside_is_taken_away(factory: Factory, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            inside = client.transport.get_extra_info("ssl_object").__dict__.pop("_sslobj")
            del inside
            gc.collect()
            client.transport.write(b"x" * 1000)
            # Over libssl the connection goes on; asyncio's ends. Either way there is no crash.
            await until(lambda: client.data == b"x" * 1000 or client.lost)
            client.transport.abort()
            await until(lambda: client.lost)

    # What asyncio reports is the attribute that is missing.
    reporting_runner_of(factory)(main())
