//! `sendfile` and `sock_sendfile`, as Python sees them.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::coroutine::{Coroutine, Scope};
use crate::event_loop::sock::{check_non_blocking, refuse_ssl_socket};
use crate::interpreter::fresh::{self, Text};
use crate::turn::Loop;

use super::arguments::{Part, Truth, check_socket};
use super::native::Target;
use super::{fallback, native};

#[pymethods]
impl Loop {
    /// Sends a file over a socket, from `offset` on, `count` bytes or all; answers how many.
    #[pyo3(
        signature = (sock, file, offset=None, count=None, *, fallback=Truth(true)),
        text_signature = "($self, sock, file, offset=0, count=None, *, fallback=True)"
    )]
    fn sock_sendfile<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        file: Py<PyAny>,
        offset: Option<Py<PyAny>>,
        count: Option<Py<PyAny>>,
        fallback: Truth,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        let part = Part::new(slf.py(), file, offset, count)?;
        Coroutine::new(slf.py(), "Loop.sock_sendfile", move |scope| {
            over_socket(scope, event_loop, sock, part, fallback.0)
        })
    }

    /// Sends a file over a transport, from `offset` on, `count` bytes or all; answers how many.
    #[pyo3(
        signature = (transport, file, offset=None, count=None, *, fallback=Truth(true)),
        text_signature = "($self, transport, file, offset=0, count=None, *, fallback=True)"
    )]
    fn sendfile<'py>(
        slf: &Bound<'py, Self>,
        transport: Py<PyAny>,
        file: Py<PyAny>,
        offset: Option<Py<PyAny>>,
        count: Option<Py<PyAny>>,
        fallback: Truth,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        let part = Part::new(slf.py(), file, offset, count)?;
        Coroutine::new(slf.py(), "Loop.sendfile", move |scope| {
            over_transport(scope, event_loop, transport, part, fallback.0)
        })
    }

    #[pyo3(name = "_sock_sendfile_native")]
    fn sock_sendfile_native<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        file: Py<PyAny>,
        offset: Py<PyAny>,
        count: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        let part = Part::new(slf.py(), file, Some(offset), count)?;
        Coroutine::new(slf.py(), "Loop._sock_sendfile_native", move |scope| {
            native::send(scope, event_loop, Target::Socket(sock), part)
        })
    }

    #[pyo3(name = "_sendfile_native")]
    fn sendfile_native<'py>(
        slf: &Bound<'py, Self>,
        transp: Py<PyAny>,
        file: Py<PyAny>,
        offset: Py<PyAny>,
        count: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        let part = Part::new(slf.py(), file, Some(offset), count)?;
        Coroutine::new(slf.py(), "Loop._sendfile_native", move |scope| {
            native::send_beneath(scope, event_loop, transp, part)
        })
    }
}

async fn over_socket(
    scope: Scope,
    event_loop: Py<Loop>,
    socket: Py<PyAny>,
    part: Part,
    fallback: bool,
) -> PyResult<Py<PyAny>> {
    let attempt = Python::attach(|py| -> PyResult<_> {
        let (event_loop, socket) = (event_loop.bind(py), socket.bind(py));
        event_loop.get().act_for(py)?;
        check_non_blocking(event_loop, socket)?;
        refuse_ssl_socket(socket)?;
        part.check_file(py)?;
        check_socket(socket)?;
        part.check_numbers(py)?;
        let arguments = (socket, &part.file, &part.offset, part.count.as_ref());
        let name = intern!(py, "_sock_sendfile_native");
        Ok(event_loop.call_method1(name, arguments)?.unbind())
    })?;
    match scope.wait(attempt).await {
        Err(error) if fallback && is_unavailable(&error) => {
            fallback::send_to_socket(scope, event_loop, socket, part).await
        }
        answer => answer,
    }
}

async fn over_transport(
    scope: Scope,
    event_loop: Py<Loop>,
    transport: Py<PyAny>,
    part: Part,
    fallback: bool,
) -> PyResult<Py<PyAny>> {
    let attempt = Python::attach(|py| -> PyResult<_> {
        let transport = transport.bind(py);
        event_loop.bind(py).get().act_for(py)?;
        if transport.call_method0(intern!(py, "is_closing"))?.is_truthy()? {
            return Err(fresh::error::<PyRuntimeError>("Transport is closing"));
        }
        let modes = crate::interpreter::modules::module(py, intern!(py, "asyncio.constants"))?
            .getattr(Text("_SendfileMode"))?;
        let mode = transport.getattr_opt(intern!(py, "_sendfile_compatible"))?;
        let mode = match mode {
            Some(mode) if !mode.is(modes.getattr(Text("UNSUPPORTED"))?) => mode,
            _ => {
                let shown = transport.repr()?;
                let message =
                    fresh::text(format_args!("sendfile is not supported for transport {shown}"))?;
                return Err(fresh::error::<PyRuntimeError>(message));
            }
        };
        if !mode.is(modes.getattr(Text("TRY_NATIVE"))?) {
            return Ok(None);
        }
        let arguments = (transport, &part.file, &part.offset, part.count.as_ref());
        let attempt =
            event_loop.bind(py).call_method1(intern!(py, "_sendfile_native"), arguments)?;
        Ok(Some(attempt.unbind()))
    })?;
    if let Some(attempt) = attempt {
        match scope.wait(attempt).await {
            Err(error) if fallback && is_unavailable(&error) => {}
            answer => return answer,
        }
    }
    if !fallback {
        return Err(Python::attach(|py| match transport.bind(py).repr() {
            Ok(shown) => fresh::error_saying::<PyRuntimeError>(format_args!(
                "fallback is disabled and native sendfile is not supported for transport {shown}"
            )),
            Err(error) => error,
        }));
    }
    fallback::send_to_transport(scope, event_loop, transport, part).await
}

/// Whether an error is a `SendfileNotAvailableError`.
fn is_unavailable(error: &PyErr) -> bool {
    Python::attach(|py| {
        let class = crate::interpreter::modules::module(py, intern!(py, "asyncio.exceptions"));
        let class = class.and_then(|module| module.getattr(Text("SendfileNotAvailableError")));
        class.is_ok_and(|class| error.is_instance(py, &class))
    })
}
