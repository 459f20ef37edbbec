//! `create_unix_connection`: a transport to whoever serves a socket file or an abstract name.
//!
//! A Unix socket is connected at once or not at all: there is nothing to watch. Where the server's
//! backlog is full the kernel answers `EAGAIN` and will not say when there is room, so the
//! connection is asked for again after a pause. (asyncio takes that answer for "under way", finds
//! the socket writable and makes a transport that is not connected.)

use pyo3::exceptions::{PyAssertionError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::Loop;
use super::closing::Closing;
use super::connection::hand_over;
use super::keywords::Keywords;
use super::unix_target::{Target, unix_socket};
use crate::coroutine::{Coroutine, Scope};
use crate::interpreter::fresh;
use crate::standard::Standard;
use crate::transport::tls::Request;

/// The first pause of a connection for which the server has no room; each is twice the one before.
const FIRST_PAUSE_SECONDS: f64 = 0.001;
const LONGEST_PAUSE_SECONDS: f64 = 0.05;

#[pymethods]
impl Loop {
    /// Connects to a Unix server; the coroutine answers `(transport, protocol)`.
    #[pyo3(
        signature = (protocol_factory, path=None, **keywords),
        text_signature = "($self, protocol_factory, path=None, *, ssl=None, sock=None, \
            server_hostname=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None)"
    )]
    fn create_unix_connection<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        path: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let keywords = Keywords::new("Loop.create_unix_connection", keywords);
        let order = Order {
            factory: protocol_factory,
            path,
            sock: keywords.take("sock")?,
            tls: keywords.take_tls_of_client()?,
        };
        keywords.finish()?;
        let event_loop = slf.clone().unbind();
        Coroutine::new(slf.py(), "Loop.create_unix_connection", |scope| {
            create(scope, event_loop, order)
        })
    }
}

/// What the caller of `create_unix_connection` wants; `None` is left out or `None`.
#[derive(Debug)]
struct Order {
    factory: Py<PyAny>,
    path: Option<Py<PyAny>>,
    sock: Option<Py<PyAny>>,
    tls: Request,
}

impl Order {
    /// # Errors
    /// `AssertionError`, `ValueError` and `TypeError` for what does not fit together.
    fn target(&self, py: Python<'_>) -> PyResult<Target> {
        let refuse = |message: &'static str| Err(fresh::error::<PyValueError>(message));
        let hostname = self.tls.server_hostname.as_ref().map(|name| name.bind(py));
        if hostname.is_some_and(|name| !name.is_instance_of::<PyString>()) {
            return Err(PyAssertionError::new_err(()));
        }
        let ssl = self.tls.is_wanted(py)?;
        match hostname {
            None if ssl => return refuse("you have to pass server_hostname when using ssl"),
            Some(_) if !ssl => return refuse("server_hostname is only meaningful with ssl"),
            _ => {}
        }
        self.tls.check_timeouts(py)?;
        let missing = "no path and sock were specified";
        Target::of(py, self.path.as_ref(), self.sock.as_ref(), missing)
    }
}

async fn create(scope: Scope, event_loop: Py<Loop>, order: Order) -> PyResult<Py<PyAny>> {
    let socket = match Python::attach(|py| order.target(py))? {
        Target::Path(path) => connect(&scope, &path).await?,
        Target::Given(sock) => Python::attach(|py| Closing::given(sock, py)),
    };
    let security = Python::attach(|py| order.tls.of_client(py, None))?;
    let (transport, protocol) =
        hand_over(&scope, &event_loop, socket, &order.factory, security.as_ref()).await?;
    Python::attach(|py| Ok(fresh::pack!(py, transport, protocol).into_any().unbind()))
}

/// A socket that is connected to the server of `path`.
async fn connect(scope: &Scope, path: &Py<PyAny>) -> PyResult<Closing> {
    let socket = Python::attach(|py| -> PyResult<_> {
        let socket = unix_socket(py)?;
        socket.bind(py).call_method1(intern!(py, "setblocking"), (false,))?;
        Ok(socket)
    })?;
    let mut seconds = FIRST_PAUSE_SECONDS;
    loop {
        let pause = Python::attach(|py| {
            match socket.bind(py).call_method1(intern!(py, "connect"), (path,)) {
                Ok(_) => Ok(None),
                Err(error) if is_refused_for_now(py, &error) => {
                    Standard::get(py)?.sleep.call1(py, (seconds,)).map(Some)
                }
                Err(error) => Err(error),
            }
        })?;
        let Some(pause) = pause else { return Ok(socket) };
        scope.wait(pause).await?;
        seconds = (seconds * 2.0).min(LONGEST_PAUSE_SECONDS);
    }
}

fn is_refused_for_now(py: Python<'_>, error: &PyErr) -> bool {
    let number = error.value(py).getattr(intern!(py, "errno")).and_then(|number| number.extract());
    error.is_instance_of::<PyOSError>(py) && matches!(number, Ok(libc::EAGAIN))
}
