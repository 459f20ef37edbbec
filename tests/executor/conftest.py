"""What these tests share: both loops, and ``asyncio`` as each of them has it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import ouroloop
import pytest
from ouroloop import _native

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}


PATIENCE = 20


class Blocked:
    """A default executor of which every thread is busy until the end of the block."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.release = threading.Event()
        self.jobs: list[Any] = []

    def __enter__(self) -> Self:
        started = threading.Semaphore(0)

        def occupy() -> None:
            started.release()
            assert self.release.wait(PATIENCE)

        self.jobs.append(self.loop.run_in_executor(None, occupy))
        workers = self.loop._default_executor._max_workers
        self.jobs += [self.loop.run_in_executor(None, occupy) for _ in range(workers - 1)]
        for _ in range(workers):
            assert started.acquire(timeout=PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.loop.run_until_complete(asyncio.wait(self.jobs))


@pytest.fixture(params=FACTORIES)
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An open loop that does not run, of each kind; its threads end with the test."""
    loop = FACTORIES[request.param]()
    before = set(threading.enumerate())
    yield loop
    loop.close()
    for thread in set(threading.enumerate()) - before:
        thread.join()


@pytest.fixture
def native() -> Iterator[Any]:
    """An open native loop that does not run."""
    loop = ouroloop.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def to_thread(loop: asyncio.AbstractEventLoop) -> Any:
    """``to_thread`` of the loop's side."""
    return _native.to_thread if isinstance(loop, ouroloop.Loop) else asyncio.to_thread
