"""grpcio's asyncio face: it polls in a thread of its own and wakes the loop through a socket."""

import asyncio
import contextlib
import gc
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.descriptors import open_descriptors
from tests.support.loops import PATIENCE

from .conftest import HOST

grpc = pytest.importorskip("grpc")
aio = pytest.importorskip("grpc.aio")

DATA = random.Random(1).randbytes(400_000)


@pytest.fixture(autouse=True)
def no_descriptor_left() -> Iterator[None]:
    """gRPC's own threads close what they opened, when they come to it."""
    before = open_descriptors().keys()
    yield
    gc.collect()
    deadline = time.monotonic() + PATIENCE
    while open_descriptors().keys() != before:
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def reverse(request: bytes, context: Any) -> bytes:
    return request[::-1]


async def each_reversed(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request[::-1]


async def refuse(request: bytes, context: Any) -> bytes:
    await context.abort(grpc.StatusCode.OUT_OF_RANGE, "too far")
    return b""


async def linger(request: bytes, context: Any) -> bytes:
    await asyncio.Event().wait()
    return b""


@contextlib.asynccontextmanager
async def channel() -> AsyncIterator[Any]:
    """Serve, and a channel there."""
    handlers = {
        "Reverse": grpc.unary_unary_rpc_method_handler(reverse),
        "EachReversed": grpc.stream_stream_rpc_method_handler(each_reversed),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        "Linger": grpc.unary_unary_rpc_method_handler(linger),
    }
    server = aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Snake", handlers)])
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"{HOST}:{port}") as connected:
            yield connected
    finally:
        await server.stop(None)


def test_calls_are_answered(run):
    async def main():
        async with channel() as connected:
            reverse = connected.unary_unary("/Snake/Reverse")
            requests = [b"x", DATA, *(b"%d" % number for number in range(50))]
            answers = await asyncio.gather(*(reverse(request) for request in requests))
            return answers == [request[::-1] for request in requests]

    assert run(main())


def test_a_stream_goes_both_ways(run):
    async def main():
        async with channel() as connected:
            call = connected.stream_stream("/Snake/EachReversed")()
            answers = []
            for number in range(30):
                await call.write(b"%d" % number + DATA[:number])
                answers.append(await call.read())
            await call.done_writing()
            assert await call.read() is aio.EOF
            return answers

    assert run(main()) == [(b"%d" % number + DATA[:number])[::-1] for number in range(30)]


def test_refusals_and_deadlines_reach_the_client(run):
    async def main():
        codes = []
        async with channel() as connected:
            for name, timeout in [("Refuse", None), ("Linger", 0.05)]:
                with pytest.raises(aio.AioRpcError) as raised:
                    await connected.unary_unary(f"/Snake/{name}")(b"", timeout=timeout)
                codes.append(raised.value.code())
        return codes

    assert run(main()) == [grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.DEADLINE_EXCEEDED]
