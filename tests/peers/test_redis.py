"""redis-py's asyncio client with a redis-server on a Unix socket."""

import asyncio
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

redis = pytest.importorskip("redis.asyncio")

VALUES = {f"key {number}": random.Random(number).randbytes(number * 50) for number in range(200)}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve; where."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not here")
    # A Unix socket's path may not be longer than about a hundred bytes, and pytest's folders are.
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        address = f"{folder}/socket"
        command = [program, "--port", "0", "--unixsocket", address, "--save", ""]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout
            log = []
            for line in server.stdout:
                log.append(line)
                if "ready to accept connections" in line.lower():
                    break
            else:
                pytest.fail("".join(log))
            yield address
        finally:
            server.terminate()
            server.communicate(timeout=30)


def few_connections(address):
    """Make a pool in which one waits for a connection to be given back."""
    return redis.BlockingConnectionPool.from_url(f"unix://{address}", max_connections=5)


def test_values_come_back_as_they_were_written(run, address):
    async def main():
        async with redis.Redis.from_pool(few_connections(address)) as client:
            await client.mset(VALUES)
            async with client.pipeline() as pipeline:
                for key in VALUES:
                    pipeline.get(key)
                together = await pipeline.execute()
            apart = await asyncio.gather(*(client.get(key) for key in VALUES))
            return together, apart

    assert run(main()) == (list(VALUES.values()), list(VALUES.values()))


def test_a_blocked_client_is_woken_by_another(run, address):
    async def main():
        async with redis.Redis(unix_socket_path=address) as client:
            waiting = asyncio.ensure_future(client.blpop("list", timeout=30))
            await client.rpush("list", b"x" * 100_000)
            return await waiting

    assert run(main()) == (b"list", b"x" * 100_000)


def test_subscribers_hear_what_is_published(run, address):
    async def main():
        async with redis.Redis(unix_socket_path=address) as client, client.pubsub() as hears:
            await hears.subscribe("news")
            assert (await anext(hears.listen()))["type"] == "subscribe"
            for text in (b"one", b"two"):
                await client.publish("news", text)
            return [(await anext(hears.listen()))["data"] for _ in range(2)]

    assert run(main()) == [b"one", b"two"]


def test_an_answer_that_takes_too_long_does_not_reach_the_next_question(run, address):
    async def main():
        async with redis.Redis(unix_socket_path=address, single_connection_client=True) as client:
            await client.set("key", b"right")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.blpop("nothing", timeout=30), 0.05)
            return await client.get("key")

    assert run(main()) == b"right"
