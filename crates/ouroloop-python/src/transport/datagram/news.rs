//! What was read and not told yet.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// What the protocol is to be told.
#[derive(Debug)]
pub(crate) enum News {
    /// A datagram and its sender.
    Datagram(Py<PyBytes>, Py<PyAny>),
    /// There was a datagram too long to be read whole.
    Truncated,
}
