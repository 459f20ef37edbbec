"""What the tests of TLS share: certificates, both loops, and a watch on what a test leaves behind."""

import asyncio
import gc
import os
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import ouroloop
import pytest
import trustme

Factory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[..., Any]

FACTORIES: dict[str, Factory] = {
    "asyncio": asyncio.SelectorEventLoop,
    "ouroloop": ouroloop.new_event_loop,
}

NAME = "server.example"


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


def runner_of(factory: Factory) -> Run:
    """Return ``run(coroutine, *, debug=False)`` on a new loop of ``factory``.

    What reaches the loop's exception handler fails the test, unless it has a handler of its own.
    """

    def run(main: Coroutine[Any, Any, Any], *, debug: bool = False) -> Any:
        surprises: list[dict[str, Any]] = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: surprises.append(context))
            return await asyncio.wait_for(main, 60)

        with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
            answer = runner.run(guarded())
        assert surprises == []
        return answer

    return run


@pytest.fixture(params=FACTORIES)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine, once on stock asyncio and once on Ouroloop."""
    return runner_of(FACTORIES[request.param])


@pytest.fixture
def run_native() -> Run:
    """Run a coroutine on Ouroloop: for promises that stock asyncio does not make."""
    return runner_of(ouroloop.new_event_loop)


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
    """No test leaves a descriptor open."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    after = open_descriptors()
    assert {fd: after[fd] for fd in after.keys() - before.keys()} == {}
    assert before.keys() - after.keys() == set()
