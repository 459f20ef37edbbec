"""Ends that somebody has made blocking again, as whoever shares the file can: a signal still gets through."""

import pytest

from tests.support.both_ways import outputs

PROGRAM = """
import asyncio, os, signal

async def read_what_another_has_taken():
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    for end in (read, os.dup(read)):
        await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(end, "rb"))
    os.set_blocking(read, True)
    os.write(write, b"for one of the two")
    await asyncio.sleep(3600)

async def write_to_a_full_pipe():
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write, "wb"))
    try:
        while True:
            os.write(write, bytes(4096))
    except BlockingIOError:
        os.set_blocking(write, True)
    transport.write(b"one more")
    transport.abort()
    await asyncio.sleep(3600)

async def main():
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    await {case}()

signal.signal(signal.SIGALRM, signal.default_int_handler)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
finally:
    os._exit(0)
"""


@pytest.mark.parametrize("case", ["read_what_another_has_taken", "write_to_a_full_pipe"])
def test_a_signal_ends_the_wait(case: str) -> None:
    assert outputs(PROGRAM.replace("{case}", case)) == ("interrupted\n", "interrupted\n")
