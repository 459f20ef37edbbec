//! The transport below: a native socket, or anything that asyncio would take.

use pyo3::prelude::*;

use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::transport::endpoint::SocketEnd;
use crate::transport::socket::SocketTransport;

#[derive(Debug)]
pub(super) enum Lower {
    /// Ciphertext goes straight to the socket.
    Socket(Py<SocketTransport>),
    /// By the methods of `asyncio.Transport`: TLS in TLS, and transports that are not ours.
    Other(Py<PyAny>),
}

impl Lower {
    pub(super) fn of(transport: &Bound<'_, PyAny>) -> Self {
        match transport.cast_exact::<SocketTransport>() {
            Ok(socket) => Self::Socket(socket.clone().unbind()),
            Err(_) => Self::Other(transport.clone().unbind()),
        }
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Socket(socket) => Self::Socket(socket.clone_ref(py)),
            Self::Other(other) => Self::Other(other.clone_ref(py)),
        }
    }

    pub(super) fn object(&self) -> &Py<PyAny> {
        match self {
            Self::Socket(socket) => socket.as_any(),
            Self::Other(other) => other,
        }
    }

    pub(super) fn into_object(self, _py: Python<'_>) -> Py<PyAny> {
        match self {
            Self::Socket(socket) => socket.into_any(),
            Self::Other(other) => other,
        }
    }

    pub(super) fn call(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        let _level = Level::enter(py)?;
        self.object().bind(py).call_method0(method).map(drop)
    }

    /// Whether something is held that a callback wrote.
    pub(super) fn holds(&self, py: Python<'_>) -> bool {
        match self {
            Self::Socket(socket) => socket.get().holds(py),
            Self::Other(_) => false,
        }
    }

    /// Has what is held leave.
    pub(super) fn flush(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Socket(socket) => SocketTransport::flush_unsent(socket.bind(py)),
            Self::Other(_) => Ok(()),
        }
    }

    pub(super) fn send(&self, py: Python<'_>, ciphertext: &[u8]) -> PyResult<()> {
        match self {
            Self::Socket(socket) => SocketTransport::send_ciphertext(socket.bind(py), ciphertext),
            Self::Other(other) => {
                let _level = Level::enter(py)?;
                let data = fresh::bytes(py, ciphertext)?;
                other.bind(py).call_method1(intern!(py, "write"), (data,)).map(drop)
            }
        }
    }

    /// Closes without writing what waits; `error` is for `connection_lost`. What is held has been written under
    /// asyncio.
    pub(super) fn force_close(&self, py: Python<'_>, error: Option<Py<PyAny>>) -> PyResult<()> {
        self.flush(py)?;
        match self {
            Self::Socket(socket) => SocketTransport::force_close(socket.bind(py), error),
            Self::Other(other) => {
                let _level = Level::enter(py)?;
                let other = other.bind(py);
                match other.getattr_opt(intern!(py, "_force_close"))? {
                    Some(force_close) => force_close.call1((error,)).map(drop),
                    // Only asyncio's own transports take the error along.
                    None => other.call_method0(intern!(py, "abort")).map(drop),
                }
            }
        }
    }
}
