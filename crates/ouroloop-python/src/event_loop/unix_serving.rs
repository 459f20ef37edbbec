//! `create_unix_server`: a server on a socket file or an abstract name.
//!
//! A file that an earlier server left behind is removed before the name is bound, and from Python
//! 3.13 on the server removes its own when it closes ([`SocketFile`]).

use pyo3::exceptions::{PyFileNotFoundError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Loop;
use super::closing::Closing;
use super::keywords::Keywords;
use super::serving::{Plan, serve_on};
use super::unix_target::{Target, unix_socket};
use crate::coroutine::{Coroutine, Scope};
use crate::interpreter::fresh::{self, Text};
use crate::standard::{Standard, exception_of};
use crate::transport::lent_frame::LentFrame;
use crate::transport::socket_file::{SocketFile, is_abstract};
use crate::transport::tls::Request;

#[pymethods]
impl Loop {
    /// Serves Unix connections; the coroutine answers a server.
    #[cfg(Py_3_13)]
    #[pyo3(
        signature = (protocol_factory, path=None, **keywords),
        text_signature = "($self, protocol_factory, path=None, *, sock=None, backlog=100, \
            ssl=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None, \
            start_serving=True, cleanup_socket=True)"
    )]
    fn create_unix_server<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        path: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Self::serve_unix(slf, protocol_factory, path, keywords)
    }

    /// Serves Unix connections; the coroutine answers a server.
    #[cfg(not(Py_3_13))]
    #[pyo3(
        signature = (protocol_factory, path=None, **keywords),
        text_signature = "($self, protocol_factory, path=None, *, sock=None, backlog=100, \
            ssl=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None, start_serving=True)"
    )]
    fn create_unix_server<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        path: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Self::serve_unix(slf, protocol_factory, path, keywords)
    }
}

impl Loop {
    fn serve_unix<'py>(
        slf: &Bound<'py, Self>,
        factory: Py<PyAny>,
        path: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let py = slf.py();
        let keywords = Keywords::new("Loop.create_unix_server", keywords);
        let order = Order {
            factory,
            path,
            sock: keywords.take("sock")?,
            backlog: keywords.take_or(py, "backlog", 100)?,
            tls: keywords.take_tls()?,
            start_serving: keywords.take_flag("start_serving", true)?,
            cleanup_socket: cfg!(Py_3_13) && keywords.take_flag("cleanup_socket", true)?,
        };
        keywords.finish()?;
        let event_loop = slf.clone().unbind();
        Coroutine::new(py, "Loop.create_unix_server", |scope| create(scope, event_loop, order))
    }
}

/// What the caller of `create_unix_server` wants; `None` is left out or `None`.
#[derive(Debug)]
struct Order {
    factory: Py<PyAny>,
    path: Option<Py<PyAny>>,
    sock: Option<Py<PyAny>>,
    backlog: Py<PyAny>,
    tls: Request,
    start_serving: bool,
    cleanup_socket: bool,
}

impl Order {
    /// # Errors
    /// `ValueError` and `TypeError` for what does not fit together.
    fn target(&self, py: Python<'_>) -> PyResult<Target> {
        self.tls.check_server(py)?;
        let missing = "path was not specified, and no sock specified";
        Target::of(py, self.path.as_ref(), self.sock.as_ref(), missing)
    }
}

async fn create(scope: Scope, event_loop: Py<Loop>, order: Order) -> PyResult<Py<PyAny>> {
    let (socket, plan) = Python::attach(|py| -> PyResult<_> {
        let socket = match order.target(py)? {
            Target::Path(path) => bind(path.bind(py))?,
            Target::Given(sock) => Closing::lent(sock),
        };
        let file = if order.cleanup_socket { SocketFile::of(socket.bind(py))? } else { None };
        let plan = Plan {
            factory: order.factory.clone_ref(py),
            security: order.tls.of_server(py)?,
            backlog: order.backlog.clone_ref(py),
            start: order.start_serving,
            is_lent: order.sock.is_some(),
            file,
        };
        Ok((socket, plan))
    })?;
    let server = serve_on(&scope, &event_loop, vec![socket], plan).await?;
    Ok(Python::attach(|py| server.keep(py)))
}

/// A socket that is bound to `path`.
///
/// # Errors
/// The system's; `OSError` with the path in its text if somebody has the name.
fn bind(path: &Bound<'_, PyAny>) -> PyResult<Closing> {
    let py = path.py();
    let socket = unix_socket(py)?;
    if !is_abstract(path)? {
        remove_stale(path)?;
    }
    let Err(error) = socket.bind(py).call_method1(intern!(py, "bind"), (path,)) else {
        return Ok(socket);
    };
    let number = error.value(py).getattr_opt(intern!(py, "errno"))?;
    let is_taken = error.is_instance_of::<PyOSError>(py)
        && number.is_some_and(|number| number.eq(libc::EADDRINUSE).unwrap_or(false));
    if !is_taken {
        return Err(error);
    }
    let message = fresh::text(format_args!("Address {} is already in use", path.repr()?))?;
    let error = PyOSError::new_err((libc::EADDRINUSE, message));
    error.value(py).setattr(intern!(py, "__cause__"), py.None())?;
    Err(error)
}

/// Removes a socket file that is in the way; anything else is left there.
fn remove_stale(path: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = path.py();
    let frame = LentFrame::CreateUnixServer;
    let remove = || -> PyResult<()> {
        let mode = frame.call(intern!(py, "stat"), path)?.getattr(Text("st_mode"))?;
        if mode.extract::<u32>()? & libc::S_IFMT == libc::S_IFSOCK {
            frame.call(intern!(py, "remove"), path)?;
        }
        Ok(())
    };
    match remove() {
        Err(error) if error.is_instance_of::<PyFileNotFoundError>(py) => Ok(()),
        Err(error) if error.is_instance_of::<PyOSError>(py) => {
            // The directory may allow to make a socket and nothing else: `bind` will tell.
            let format = "Unable to check or remove stale UNIX socket %r: %r";
            let logger = Standard::get(py)?.logger.bind(py);
            let arguments = (format, path, exception_of(py, &error));
            logger.call_method1(intern!(py, "error"), arguments).map(drop)
        }
        done => done,
    }
}
