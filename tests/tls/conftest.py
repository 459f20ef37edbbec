"""What the tests of TLS share: certificates."""

import ssl
from dataclasses import dataclass

import pytest
import trustme

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


@pytest.fixture(autouse=True)
def no_descriptor_left(descriptors_as_before: None) -> None:
    """No test leaves a descriptor open."""
