//! Where the socket of a Unix connection or server comes from: a name, or the caller.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::closing::Closing;
use super::dns::socket_function;
use super::sock::refuse_ssl_socket;

use crate::interpreter::fresh;

/// One of `path` and `sock`.
#[derive(Debug)]
pub(super) enum Target {
    /// A `str` or `bytes`; a leading NUL makes it an abstract name.
    Path(Py<PyAny>),
    /// A Unix stream socket of the caller's.
    Given(Py<PyAny>),
}

impl Target {
    /// # Errors
    /// `ValueError` unless one of the two is given and fits, with the text `missing` if none is;
    /// `TypeError` for a path that is none and for a socket of the module `ssl`.
    pub(super) fn of(
        py: Python<'_>,
        path: Option<&Py<PyAny>>,
        sock: Option<&Py<PyAny>>,
        missing: &'static str,
    ) -> PyResult<Self> {
        match (path, sock) {
            (Some(_), Some(_)) => {
                let message = "path and sock can not be specified at the same time";
                Err(fresh::error::<PyValueError>(message))
            }
            (None, None) => Err(fresh::error::<PyValueError>(missing)),
            (Some(path), None) => {
                let os = crate::interpreter::modules::module(py, intern!(py, "os"))?;
                let path = os.call_method1(intern!(py, "fspath"), (path,))?;
                Ok(Self::Path(path.unbind()))
            }
            (None, Some(sock)) => {
                expect_unix_stream(sock.bind(py))?;
                // asyncio would take it, for bytes that nobody encrypts.
                refuse_ssl_socket(sock.bind(py))?;
                Ok(Self::Given(sock.clone_ref(py)))
            }
        }
    }
}

fn expect_unix_stream(sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = sock.py();
    if sock.getattr(intern!(py, "family"))?.ne(libc::AF_UNIX)?
        || sock.getattr(intern!(py, "type"))?.ne(libc::SOCK_STREAM)?
    {
        let message = fresh::text(format_args!(
            "A UNIX Domain Stream Socket was expected, got {}",
            sock.repr()?
        ))?;
        return Err(fresh::error::<PyValueError>(message));
    }
    Ok(())
}

/// A new Unix stream socket.
pub(super) fn unix_socket(py: Python<'_>) -> PyResult<Closing> {
    let socket = socket_function(py, "socket")?.call1((libc::AF_UNIX, libc::SOCK_STREAM))?;
    Ok(Closing::new(socket.unbind()))
}
