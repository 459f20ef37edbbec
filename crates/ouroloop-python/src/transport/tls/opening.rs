//! How TLS comes onto a connection.

use pyo3::prelude::*;

use super::machine::{HandshakeWaiter, TlsProtocol, TlsTransport, Told};
use super::security::Security;
use crate::future::Future;
use crate::transport::server::Server;
use crate::transport::socket::{Origin, SocketTransport};
use crate::turn::Loop;

/// Puts TLS and a transport onto a connection, as [`SocketTransport::open`] puts a transport alone:
/// the answer is what the application's `protocol` will be given once the handshake is done.
///
/// # Errors
/// What the `ssl` module raises for the settings; those of [`SocketTransport::open`].
pub(crate) fn open<'py>(
    event_loop: &Bound<'py, Loop>,
    origin: Origin,
    protocol: Py<PyAny>,
    waiting: HandshakeWaiter,
    server: Option<Py<Server>>,
    security: &Security,
) -> PyResult<Bound<'py, TlsTransport>> {
    let (machine, transport) =
        TlsProtocol::new(event_loop, protocol, waiting, security, Told::Nothing)?;
    let opened =
        SocketTransport::open(event_loop, origin, machine.into_any().unbind(), None, server);
    if let Err(error) = opened {
        transport.get().mark_closed(event_loop.py());
        return Err(error);
    }
    Ok(transport)
}

/// Puts TLS onto a transport that is connected and in use by `protocol`; the answer is to become the
/// transport's protocol and be told that the connection was made.
///
/// # Errors
/// What the `ssl` module raises for the settings.
pub(crate) fn upgrade<'py>(
    event_loop: &Bound<'py, Loop>,
    protocol: Py<PyAny>,
    waiter: Py<Future>,
    security: &Security,
) -> PyResult<Bound<'py, TlsProtocol>> {
    let waiting = HandshakeWaiter::For(waiter);
    TlsProtocol::new(event_loop, protocol, waiting, security, Told::Connected).map(|(it, _)| it)
}
