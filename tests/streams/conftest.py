"""What the tests of streams share: each expectation is proved on asyncio's own classes first."""

import asyncio
import gc
import os
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import ouroloop
import pytest
import trustme
from ouroloop import _native

Run = Callable[..., Any]
NAME = "server.example"


class World(NamedTuple):
    """Whose streams run on whose loop."""

    name: str
    new_loop: Callable[[], asyncio.AbstractEventLoop]
    StreamReader: Any
    StreamWriter: Any
    StreamReaderProtocol: Any
    open_connection: Any
    start_server: Any
    open_unix_connection: Any
    start_unix_server: Any


NAMES = World._fields[2:]
STOCK = World(
    "asyncio", asyncio.SelectorEventLoop, *(getattr(asyncio.streams, name) for name in NAMES)
)
NATIVE = [getattr(_native, name) for name in NAMES]
WORLDS = {
    "asyncio": STOCK,
    "native on asyncio": World("native on asyncio", asyncio.SelectorEventLoop, *NATIVE),
    "asyncio on native": STOCK._replace(name="asyncio on native", new_loop=ouroloop.new_event_loop),
    "native": World("native", ouroloop.new_event_loop, *NATIVE),
}


def turn(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Run what is ready now, ``count`` times, without waiting."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    """Each combination of classes and loop."""
    return WORLDS[request.param]


@pytest.fixture
def loop(world: World) -> Iterator[asyncio.AbstractEventLoop]:
    """An open loop of the world's that does not run."""
    loop = world.new_loop()
    yield loop
    loop.close()


@pytest.fixture
def run(world: World) -> Run:
    """Return ``run(coroutine, *, debug=False)`` on a new loop of the world.

    What reaches the loop's exception handler fails the test, unless it has a handler of its own.
    """

    def run(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> Any:
        surprises: list[dict[str, Any]] = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: surprises.append(context))
            return await asyncio.wait_for(main, 60)

        with asyncio.Runner(loop_factory=world.new_loop, debug=debug) as runner:
            answer = runner.run(guarded())
        assert surprises == []
        return answer

    return run


@dataclass(frozen=True)
class Contexts:
    """A server's context and that of a client who trusts it."""

    authority: trustme.CA

    def server(self) -> ssl.SSLContext:
        """Make a context with a certificate of ``NAME``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(NAME).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        """Make a context that trusts the authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="session")
def contexts() -> Contexts:
    """Make an authority, once."""
    return Contexts(trustme.CA())


def open_descriptors() -> dict[int, str]:
    """Return the open descriptors of this process and what they lead to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- the listing's own descriptor ends
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


@pytest.fixture(autouse=True)
def descriptors_as_before() -> Iterator[None]:
    """No test leaves a descriptor open, nor garbage to be reported in the next."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    after = open_descriptors()
    assert {fd: after[fd] for fd in after.keys() - before.keys()} == {}
