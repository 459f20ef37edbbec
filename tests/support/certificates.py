"""Contexts of TLS for one server name, of an authority made for the session."""

import ssl
from dataclasses import dataclass
from typing import Final

import trustme

NAME: Final = "server.example"


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
