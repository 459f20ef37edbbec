"""What is written arrives as it was at that moment, whatever its type, size and order."""

import array
import asyncio
import hashlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.loops import Run
from tests.support.protocols import Recorder

from .peers import connected, pattern, read_all, read_exactly


@pytest.mark.parametrize("size", [1, 100, 8192, 8193, 200_000])
def test_what_is_changed_after_the_write_is_not_sent(run: Run, size: int) -> None:
    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            data = bytearray(pattern(size))
            transport.write(data)
            # A BufferError if the transport still exported it.
            if size <= 100_000:
                data += b"longer"
            data[:] = bytes(len(data))
            transport.write(memoryview(data)[:1])
            assert await read_exactly(peer, size + 1) == pattern(size) + b"\0"

    # Stock asyncio keeps views of what the kernel did not take; these sizes it takes.
    run(main())


def test_what_is_changed_after_a_blocked_write_is_not_sent(run_native: Run) -> None:
    async def main() -> None:
        async with connected(Recorder(), small=True) as (transport, peer):
            size = 1_000_000
            for wrap in (lambda data: data, memoryview):
                data = bytearray(pattern(size))
                transport.write(wrap(data))
                data.clear()
            lines = [bytearray(b"one"), bytearray(b"two")]
            transport.writelines(lines)
            for line in lines:
                line.clear()
            expected = pattern(size) * 2 + b"onetwo"
            assert await read_exactly(peer, len(expected)) == expected

    run_native(main())


VIEWS: "dict[str, memoryview[Any]]" = {
    "scattered": memoryview(pattern(9000))[::3],
    "backwards": memoryview(pattern(100))[::-1],
    "doubles": memoryview(array.array("d", [1.5, -2.25, 1e300] * 2000)),
    "shorts": memoryview(array.array("h", range(-500, 500))),
    "two dimensions": memoryview(pattern(60)).cast("B", shape=[6, 10]),
    "large matrix": memoryview(pattern(60_000)).cast("B", shape=[6, 10_000]),
    "chars": memoryview(b"chars").cast("c"),
    "signed": memoryview(pattern(20_000)).cast("b"),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_views_of_every_shape(run_native: Run, kind: str) -> None:
    view = VIEWS[kind]

    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            transport.write(view)
            transport.write(b"|")
            transport.close()
            assert await read_all(peer) == view.tobytes() + b"|"

    run_native(main())


@pytest.mark.parametrize("kind", VIEWS)
def test_views_of_every_shape_through_a_full_socket(run_native: Run, kind: str) -> None:
    view = VIEWS[kind]

    async def main() -> None:
        async with connected(Recorder(), small=True) as (transport, peer):
            transport.write(bytes(1_000_000))
            transport.write(view)
            transport.close()
            assert await read_all(peer) == bytes(1_000_000) + view.tobytes()

    run_native(main())


@pytest.mark.slow
def test_small_and_large_writes_keep_their_order(run: Run) -> None:
    async def main() -> None:
        async with connected(Recorder(), small=True) as (transport, peer):
            reading = asyncio.ensure_future(read_all(peer))
            expected = hashlib.sha256()
            for number in range(300):
                size = (1, 100, 8191, 8192, 8193, 70_000)[number * 7 % 6]
                data = number.to_bytes(2, "big") + pattern(size)
                expected.update(data)
                match number % 4:
                    case 0:
                        transport.write(data)
                    case 1:
                        transport.write(bytearray(data))
                    case 2:
                        transport.write(memoryview(data))
                    case 3:
                        transport.writelines([data[:3], data[3:]])
                if number % 5 == 0:
                    await asyncio.sleep(0)
            transport.close()
            assert hashlib.sha256(await reading).digest() == expected.digest()

    run(main())


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_a_very_large_write_to_a_slow_peer(
    run: Run, wrap: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    data = pattern(64 * 1024 * 1024)

    async def main() -> None:
        async with connected(Recorder()) as (transport, peer):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)

            def read_slowly() -> bool:
                place = 0
                while received := peer.recv(50_000):
                    if received != data[place : place + len(received)]:
                        return False
                    place += len(received)
                return place == len(data)

            reading = asyncio.ensure_future(asyncio.to_thread(read_slowly))
            transport.write(wrap(data))
            transport.close()
            assert await reading

    run(main())
