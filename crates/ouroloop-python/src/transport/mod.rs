//! What stands between descriptors and protocols.

#[macro_use]
mod face;
pub(crate) mod address;
mod buffer_limits;
pub(crate) mod bytes;
pub(crate) mod chunk;
pub(crate) mod datagram;
pub(crate) mod descriptor;
pub(crate) mod endpoint;
mod failure;
mod habit;
pub(crate) mod lent_frame;
pub(crate) mod listener;
pub(crate) mod pipe;
pub(crate) mod protocol;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod socket_file;
pub(crate) mod subprocess;
pub(crate) mod tls;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use datagram::DatagramTransport;
use endpoint::SocketEnd;
use socket::SocketTransport;

use crate::event_loop::warn_resource;

/// A transport with something to send when the turn is over, or sooner.
#[derive(Debug)]
pub(crate) enum Unsent {
    Stream(Py<SocketTransport>),
    Datagrams(Py<DatagramTransport>),
}

impl Unsent {
    /// Sends it, unless it has left already.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of a protocol that is told what came of it.
    pub(crate) fn send(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Stream(transport) => SocketTransport::flush_unsent(transport.bind(py)),
            Self::Datagrams(transport) => DatagramTransport::on_turn_end(transport.bind(py)),
        }
    }

    pub(crate) fn object<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        match self {
            Self::Stream(transport) => transport.bind(py).as_any(),
            Self::Datagrams(transport) => transport.bind(py).as_any(),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Stream(transport) => visit.call(transport),
            Self::Datagrams(transport) => visit.call(transport),
        }
    }
}

/// Warns of a transport that nobody closed, unless this process inherited it from its parent.
///
/// # Errors
/// The warning, where warnings are errors; those of `repr`.
fn warn_unclosed(transport: &Bound<'_, PyAny>, inherited: bool) -> PyResult<()> {
    if inherited {
        return Ok(());
    }
    warn_resource(transport, &format!("unclosed transport {}", transport.repr()?))
}

/// Whether a transport of this crate is closing or closed.
pub(crate) fn is_closing(transport: &Bound<'_, PyAny>) -> bool {
    let py = transport.py();
    if let Ok(transport) = transport.cast::<SocketTransport>() {
        return transport.get().is_closing(py);
    }
    transport.cast::<DatagramTransport>().is_ok_and(|transport| transport.get().is_closing(py))
}
