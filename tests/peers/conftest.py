"""What the scenarios with other projects share: both ways of using Ouroloop, and certificates.

Packages are imported by ``pytest.importorskip``, so that a Python without the dependency group ``peers`` skips
what it lacks.
"""

import ssl
from dataclasses import dataclass

import ouroloop
import pytest
import trustme

from tests.support.loops import Run, runner_of

HOST = "127.0.0.1"


@pytest.fixture(params=["loop", "installed"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on a native loop: alone, and after ``ouroloop.install()``.

    What reaches the loop's exception handler fails the test.
    """
    if request.param == "installed":
        ouroloop.install()
    return runner_of(ouroloop.new_event_loop)


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


@pytest.fixture(autouse=True)
def no_descriptor_left(descriptors_as_before: None) -> None:
    """No test leaves a descriptor open."""
