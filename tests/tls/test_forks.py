"""TLS connections in forked children: the session, like the connection, is the parent's."""

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import ouroloop
import pytest

from tests.support.certificates import Contexts
from tests.support.loops import Run, until
from tests.support.protocols import Echo, Recorder

from ..network.forks import Forked, forked, in_child
from .peers import connect, serving

REFUSAL = (
    "RuntimeError: This event loop belongs to the parent process; a forked child needs an event "
    "loop of its own"
)


@pytest.mark.parametrize(
    "send",
    [
        lambda transport: transport.write(b"child's"),
        lambda transport: transport.write(bytes(100_000)),
        lambda transport: transport.writelines([b"child's"]),
        lambda transport: (transport.pause_reading(), transport.resume_reading()),
    ],
    ids=["write", "large write", "writelines", "resume"],
)
def test_a_child_does_not_send(
    run_native: Run, contexts: Contexts, send: Callable[[Any], Any]
) -> None:
    """One record of the child's would end the parent's session: their numbers would not fit."""

    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            assert in_child(lambda: send(client.transport)) == REFUSAL
            client.transport.write(b"parent's")
            await until(lambda: client.data == b"parent's")
            client.transport.close()
            await until(lambda: client.lost)
        assert client.lost == [None]

    run_native(main())


@pytest.mark.parametrize(
    "look",
    [
        lambda transport: transport.get_write_buffer_size() >= 0,
        lambda transport: transport.close(),
        lambda transport: transport.abort(),
        lambda transport: transport.get_extra_info("socket").fileno() > 0,
        lambda transport: transport.set_write_buffer_limits(0),
    ],
    ids=["size", "close", "abort", "socket", "limits"],
)
def test_what_was_written_before_is_sent_once(
    run_native: Run, contexts: Contexts, look: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)
            client.transport.write(b"parent's")
            assert in_child(lambda: look(client.transport)) in ("None", "True")
            await until(lambda: client.data == b"parent's")
            client.transport.write(b" again")
            await until(lambda: client.data == b"parent's again")
            client.transport.close()
            await until(lambda: client.lost)
        assert client.lost == [None]

    run_native(main())


def test_a_connection_that_is_collected_in_the_child(run_native: Run, contexts: Contexts) -> None:
    async def main() -> None:
        async with serving(contexts, Echo) as (address, _):
            client = await connect(contexts, Recorder, address)

            def collect() -> list[str]:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    del client.transport
                    gc.collect()
                return [str(it.message) for it in caught]

            assert in_child(collect) == "[]"
            client.transport.write(b"parent's")
            await until(lambda: client.data == b"parent's")
            client.transport.close()
            await until(lambda: client.lost)
        assert client.lost == [None]

    run_native(main())


def test_a_fork_while_data_is_received(run_native: Run, contexts: Contexts) -> None:
    """What the protocol wrote before it forked leaves the parent, and only the parent."""

    class Forking(Recorder):
        child: Forked

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(b"answer")
            if not self.child.fork():
                self.transport.write(b" of the parent's")

    async def main(child: Forked) -> None:
        Forking.child = child
        async with serving(contexts, Forking) as (address, _):
            client = await connect(contexts, Recorder, address)
            client.transport.write(b"question")
            await until(lambda: client.data == b"answer of the parent's")
            client.transport.close()
            await until(lambda: client.lost)
        assert client.lost == [None]

    with forked() as child:
        try:
            run_native(main(child))
        except BaseException as error:
            child.exit(f"{type(error).__name__}: {error}")
            raise
    assert child.words() == REFUSAL


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_connection_whose_loop_the_child_takes_over(contexts: Contexts, end: str) -> None:
    """Before it has run there. The session is one, and either process may end it."""
    loop = ouroloop.new_event_loop()
    servers = serving(contexts, Echo)

    async def open_connection() -> Recorder:
        address, _ = await servers.__aenter__()
        return await connect(contexts, Recorder, address)

    async def shut() -> None:
        await servers.__aexit__(None, None, None)

    client = loop.run_until_complete(open_connection())

    def child() -> list[Any]:
        client.transport.write(b"child's")
        loop.run_until_complete(until(lambda: client.data == b"child's"))
        client.transport.pause_reading()
        client.transport.resume_reading()
        getattr(client.transport, end)()
        loop.run_until_complete(until(lambda: client.lost))
        return client.lost

    def closing_child() -> list[Any]:
        getattr(client.transport, end)()
        loop.run_until_complete(until(lambda: client.lost))
        return client.lost

    assert in_child(child) == "[None]"
    assert in_child(closing_child) == "[None]"
    client.transport.abort()
    loop.run_until_complete(until(lambda: client.lost))
    loop.run_until_complete(shut())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
