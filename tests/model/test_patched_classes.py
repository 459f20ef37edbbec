"""Methods that a program patches on asyncio's classes are called where asyncio calls them."""

from tests.support.both_ways import outputs

PROGRAM = """
import asyncio

calls = []

def spy(cls, name):
    original = getattr(cls, name)
    def spying(self, *args, **kwargs):
        calls.append(f"{cls.__name__}.{name}")
        return original(self, *args, **kwargs)
    setattr(cls, name, spying)
    return lambda: setattr(cls, name, original)

async def semaphores():
    for cls in (asyncio.Semaphore, asyncio.BoundedSemaphore):
        async with cls():
            pass

async def locks():
    async with asyncio.Lock():
        pass
    condition = asyncio.Condition()
    async with condition:
        condition.notify_all()

async def queues():
    for cls in (asyncio.Queue, asyncio.PriorityQueue, asyncio.LifoQueue):
        queue = cls()
        await queue.put(1)
        await queue.get()

async def barriers():
    async with asyncio.Barrier(1):
        pass

async def streams():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"x\\n")
    assert await reader.readline() == b"x\\n"
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    server.close()

CASES = [
    (semaphores, asyncio.Semaphore, "acquire release locked _wake_up_next"),
    (locks, asyncio.Lock, "acquire release"),
    (locks, asyncio.Condition, "notify"),
    (queues, asyncio.Queue, "_put _get full empty put_nowait get_nowait"),
    (queues, asyncio.PriorityQueue, "_put _get"),
    (barriers, asyncio.Barrier, "wait"),
    (streams, asyncio.StreamReader, "readuntil feed_data feed_eof"),
    (streams, asyncio.StreamReaderProtocol, "data_received connection_lost"),
    (streams, asyncio.StreamWriter, "write close"),
]

async def main():
    for work, cls, names in CASES:
        # Once before: native code has come to its conclusions by then.
        await work()
        for name in names.split():
            unspy = spy(cls, name)
            await work()
            print(cls.__name__, name, sorted(set(calls)))
            calls.clear()
            unspy()
            await work()
            assert not calls

asyncio.run(main())
"""

FIRST = """
import asyncio

def refuse(self, item):
    raise ValueError(item)

asyncio.Queue._put = refuse
try:
    asyncio.Queue().put_nowait(1)
except ValueError as error:
    print("refused", error)
"""


def test_as_with_stock_asyncio() -> None:
    stock, native = outputs(PROGRAM)
    assert "[]" not in stock
    assert native == stock


def test_patched_before_there_was_an_object() -> None:
    stock, native = outputs(FIRST)
    assert stock == "refused 1\n"
    assert native == stock
