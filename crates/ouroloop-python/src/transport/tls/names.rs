//! What is taken from the module `ssl`, which an interpreter may lack and most programs never need.

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::interpreter::fresh;
use crate::interpreter::once::Once as _;

#[derive(Debug)]
pub(super) struct Names {
    pub(super) module: Py<PyModule>,
    pub(super) context: Py<PyAny>,
    pub(super) memory_bio: Py<PyAny>,
    pub(super) error: Py<PyAny>,
    pub(super) want_read: Py<PyAny>,
    pub(super) syscall: Py<PyAny>,
    pub(super) certificate_error: Py<PyAny>,
    /// asyncio's classes of which ours answer that they are instances.
    pub(super) protocol: Py<PyAny>,
    pub(super) transport: Py<PyAny>,
}

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

impl Names {
    /// # Errors
    /// `RuntimeError` where Python was built without TLS.
    pub(super) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        NAMES.find(py, || {
            let Ok(ssl) = crate::interpreter::modules::module(py, intern!(py, "ssl")) else {
                return Err(fresh::error::<PyRuntimeError>("stdlib ssl module not available"));
            };
            let asyncio = crate::interpreter::modules::module(py, intern!(py, "asyncio.sslproto"))?;
            let name = |name: &str| ssl.getattr(name).map(Bound::unbind);
            Ok(Self {
                module: ssl.clone().unbind(),
                context: name("SSLContext")?,
                memory_bio: name("MemoryBIO")?,
                error: name("SSLError")?,
                want_read: name("SSLWantReadError")?,
                syscall: name("SSLSyscallError")?,
                certificate_error: name("CertificateError")?,
                protocol: asyncio.getattr(intern!(py, "SSLProtocol"))?.unbind(),
                transport: asyncio.getattr(intern!(py, "_SSLProtocolTransport"))?.unbind(),
            })
        })
    }

    /// Whether the error only says that more bytes from the peer are needed.
    pub(super) fn means_again(&self, py: Python<'_>, error: &PyErr) -> PyResult<bool> {
        Ok(error.matches(py, &self.want_read)? || error.matches(py, &self.syscall)?)
    }
}

/// # Errors
/// `TypeError` for anything but an `ssl.SSLContext`, `RuntimeError` where there is no such class.
pub(crate) fn expect_context(context: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = context.py();
    let Ok(names) = Names::get(py) else {
        return Err(fresh::error::<PyRuntimeError>("Python ssl module is not available"));
    };
    if context.is_instance(names.context.bind(py))? {
        return Ok(());
    }
    let message = "sslcontext is expected to be an instance of ssl.SSLContext";
    Err(fresh::error_saying::<PyTypeError>(format_args!("{message}, got {}", context.repr()?)))
}
