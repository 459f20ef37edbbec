"""What the scenarios with other projects share: both ways of using Ouroloop, certificates, and what a test leaves behind.

Packages are imported by ``pytest.importorskip``, so that a Python without the dependency group ``peers`` skips
what it lacks.
"""

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

Run = Callable[[Coroutine[Any, Any, Any]], Any]

HOST = "127.0.0.1"


@pytest.fixture(params=["loop", "installed"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on a native loop: alone, and after ``ouroloop.install()``.

    What reaches the loop's exception handler fails the test.
    """
    if request.param == "installed":
        ouroloop.install()

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        surprises: list[dict[str, Any]] = []

        async def guarded() -> Any:
            loop = asyncio.get_running_loop()
            assert type(loop) is ouroloop.Loop
            loop.set_exception_handler(lambda _, context: surprises.append(context))
            return await asyncio.wait_for(main, 60)

        with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
            answer = runner.run(guarded())
        gc.collect()
        assert surprises == []
        return answer

    return run


@dataclass(frozen=True)
class Certificates:
    """A server's context and that of a client who trusts it; the same as files."""

    authority: trustme.CA
    certificate: str
    key: str

    def server(self) -> ssl.SSLContext:
        """Make a context with a certificate of this host."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        """Make a context that trusts the authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make an authority and a certificate of this host, once."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST, "localhost")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    return Certificates(authority, str(folder / "certificate.pem"), str(folder / "key.pem"))


@pytest.fixture(scope="package", autouse=True)
def imports_are_no_garbage() -> Iterator[None]:
    """Spare the collections of each test what a dozen large packages consist of."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


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
