//! Sockets that no method takes.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::interpreter::fresh::{self, Text};
use crate::turn::Loop;

/// # Errors
/// `TypeError` for a socket of the module `ssl`.
pub(in crate::event_loop) fn refuse_ssl_socket(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = socket.py();
    let modules = crate::interpreter::modules::module(py, intern!(py, "sys"))?
        .getattr(intern!(py, "modules"))?;
    // Where the module was never imported there is no such socket.
    let ssl = modules.call_method1(intern!(py, "get"), (Text("ssl"),))?;
    match ssl.getattr_opt(intern!(py, "SSLSocket"))? {
        Some(class) if socket.is_instance(&class)? => {
            Err(fresh::error::<PyTypeError>("Socket cannot be of type SSLSocket"))
        }
        _ => Ok(()),
    }
}

/// # Errors
/// In debug mode `ValueError` for a blocking socket.
#[inline]
pub(in crate::event_loop) fn check_non_blocking(
    event_loop: &Bound<'_, Loop>,
    socket: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = socket.py();
    if event_loop.get().is_debug(py) && socket.call_method0(intern!(py, "gettimeout"))?.ne(0)? {
        return Err(fresh::error::<PyValueError>("the socket must be non-blocking"));
    }
    Ok(())
}
