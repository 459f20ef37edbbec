//! `connect_accepted_socket`: a transport on a connection that somebody else accepted.

use pyo3::prelude::*;

use super::Loop;
use super::closing::Closing;
use super::connection::{expect_stream, hand_over};
use super::sock::refuse_ssl_socket;
use crate::coroutine::{Coroutine, Scope};
use crate::interpreter::fresh;
use crate::standard::Standard;
use crate::transport::tls::Request;

#[pymethods]
impl Loop {
    /// Serves a connection that was accepted outside of the loop; the coroutine answers
    /// `(transport, protocol)`.
    #[pyo3(signature = (
        protocol_factory, sock, *, ssl=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None
    ))]
    fn connect_accepted_socket<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        sock: Py<PyAny>,
        ssl: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        let tls = Request {
            ssl,
            server_hostname: None,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout,
        };
        Coroutine::new(slf.py(), "Loop.connect_accepted_socket", |scope| {
            connect(scope, event_loop, protocol_factory, sock, tls)
        })
    }
}

async fn connect(
    scope: Scope,
    event_loop: Py<Loop>,
    factory: Py<PyAny>,
    sock: Py<PyAny>,
    tls: Request,
) -> PyResult<Py<PyAny>> {
    let security = Python::attach(|py| {
        expect_stream(sock.bind(py))?;
        tls.check_timeouts(py)?;
        refuse_ssl_socket(sock.bind(py))?;
        tls.of_server(py)
    })?;
    let socket = Python::attach(|py| Closing::given(sock, py));
    let (transport, protocol) =
        hand_over(&scope, &event_loop, socket, &factory, security.as_ref()).await?;
    Python::attach(|py| {
        if event_loop.bind(py).get().is_debug(py) {
            let socket = transport.call_method1(
                py,
                intern!(py, "get_extra_info"),
                (intern!(py, "socket"),),
            )?;
            let arguments = (intern!(py, "%r handled: (%r, %r)"), socket, &transport, &protocol);
            let logger = Standard::get(py)?.logger.bind(py);
            logger.call_method1(intern!(py, "debug"), arguments)?;
        }
        Ok(fresh::pack!(py, transport, protocol).into_any().unbind())
    })
}
