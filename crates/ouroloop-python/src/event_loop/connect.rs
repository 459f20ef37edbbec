//! `sock_connect`: a socket's connection, waited for on the loop.

use std::os::fd::RawFd;

use pyo3::exceptions::{
    PyBlockingIOError, PyInterruptedError, PyKeyboardInterrupt, PyOSError, PySystemExit,
    PyTypeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::Loop;
use super::dns::{Hints, resolve, unpack};
use crate::callback::Callback;
use crate::coroutine::{Coroutine, Scope};
use crate::future::{Future, Outcome};
use crate::handle::Handle;
use crate::standard::exception_of;

#[pymethods]
impl Loop {
    /// Connects a non-blocking socket to `address`.
    fn sock_connect<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        address: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        Coroutine::new(slf.py(), "Loop.sock_connect", |scope| {
            connect(scope, event_loop, sock, address)
        })
    }
}

async fn connect(
    scope: Scope,
    event_loop: Py<Loop>,
    socket: Py<PyAny>,
    address: Py<PyAny>,
) -> PyResult<Py<PyAny>> {
    let hints = Python::attach(|py| {
        let socket = socket.bind(py);
        refuse_ssl_socket(socket)?;
        if event_loop.bind(py).get().is_debug(py)
            && socket.call_method0(intern!(py, "gettimeout"))?.ne(0)?
        {
            return Err(PyValueError::new_err("the socket must be non-blocking"));
        }
        internet_hints(socket)
    })?;
    let address = match hints {
        None => address,
        Some(hints) => {
            let infos = resolve(&scope, &event_loop, address, hints).await?;
            Python::attach(|py| -> PyResult<_> {
                let [_, _, _, _, address] = unpack(&infos.bind(py).get_item(0)?)?;
                Ok(address.unbind())
            })?
        }
    };
    let started =
        Python::attach(|py| start(event_loop.bind(py), socket.bind(py), address.bind(py)))?;
    let Some((connected, watch)) = started else {
        return Python::attach(|py| Ok(py.None()));
    };
    let answer = scope.wait(connected).await;
    drop(watch);
    answer
}

/// # Errors
/// `TypeError` for a socket of the module `ssl`.
pub(super) fn refuse_ssl_socket(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = socket.py();
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    // Where the module was never imported there is no such socket.
    let ssl = modules.call_method1(intern!(py, "get"), ("ssl",))?;
    match ssl.getattr_opt(intern!(py, "SSLSocket"))? {
        Some(class) if socket.is_instance(&class)? => {
            Err(PyTypeError::new_err("Socket cannot be of type SSLSocket"))
        }
        _ => Ok(()),
    }
}

/// How to resolve an address for this socket; `None` where addresses need no resolving.
fn internet_hints(socket: &Bound<'_, PyAny>) -> PyResult<Option<Hints>> {
    let py = socket.py();
    let family = socket.getattr(intern!(py, "family"))?;
    if family.ne(libc::AF_INET)? && family.ne(libc::AF_INET6)? {
        return Ok(None);
    }
    Ok(Some(Hints {
        family: family.unbind(),
        kind: socket.getattr(intern!(py, "type"))?.unbind(),
        proto: socket.getattr(intern!(py, "proto"))?.unbind(),
        flags: PyInt::new(py, 0).into_any().unbind(),
    }))
}

/// Keeps a connecting socket watched; dropping it ends that.
#[derive(Debug)]
struct Watch {
    event_loop: Py<Loop>,
    fd: RawFd,
    handle: Py<Handle>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            // A coroutine may be dropped while an exception is on its way.
            let pending = PyErr::take(py);
            let handle = self.handle.bind(py);
            let event_loop = self.event_loop.bind(py).get();
            // Somebody else may watch the number by now.
            let ours = event_loop.engine.with(py, |engine| {
                matches!(engine.watched(self.fd).1, Some(Callback::Call(watching))
                    if watching.as_ptr() == handle.as_ptr())
            });
            if ours {
                event_loop.unwatch_writable(py, self.fd);
            }
            if let Err(error) = Handle::cancel_now(handle) {
                error.write_unraisable(py, Some(handle.as_any()));
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}

/// Asks the kernel for the connection; `None` if it is there at once.
fn start(
    event_loop: &Bound<'_, Loop>,
    socket: &Bound<'_, PyAny>,
    address: &Bound<'_, PyAny>,
) -> PyResult<Option<(Py<PyAny>, Watch)>> {
    let py = event_loop.py();
    let number = socket.call_method0(intern!(py, "fileno"))?;
    match socket.call_method1(intern!(py, "connect"), (address,)) {
        Ok(_) => return Ok(None),
        Err(error) if is_under_way(py, &error) => {}
        Err(error) => return Err(error),
    }
    let fd = Loop::user_descriptor(event_loop, &number)?;
    event_loop.get().check_closed(py)?;
    let connected = Future::create(event_loop)?;
    let callback = wrap_pyfunction!(finish, py)?.into_any().unbind();
    let arguments = (&connected, socket, address).into_pyobject(py)?;
    let handle = Loop::make_handle(event_loop, callback, arguments, None)?.unbind();
    let entry = Callback::Call(handle.clone_ref(py));
    let watched = event_loop.get().engine.with(py, |engine| engine.set_writer(fd, entry));
    let before = watched.map_err(|error| event_loop.get().watch_error(py, &error))?;
    let watch = Watch { event_loop: event_loop.clone().unbind(), fd, handle };
    if let Some(Callback::Call(before)) = before {
        Handle::cancel_now(before.bind(py))?;
    }
    Ok(Some((connected.into_any().unbind(), watch)))
}

fn is_under_way(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py)
}

/// The callback of a connecting socket that has become writable.
#[pyfunction]
fn finish(
    connected: &Bound<'_, Future>,
    socket: &Bound<'_, PyAny>,
    address: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = connected.py();
    if connected.get().is_done(py) {
        return Ok(());
    }
    match outcome(socket, address) {
        Ok(()) => Future::finish(connected, Outcome::Result(py.None())),
        // Not yet: it stays watched.
        Err(error) if is_under_way(py, &error) => Ok(()),
        Err(error)
            if error.is_instance_of::<PySystemExit>(py)
                || error.is_instance_of::<PyKeyboardInterrupt>(py) =>
        {
            Err(error)
        }
        Err(error) => Future::finish_with_error(connected, exception_of(py, &error).as_any()),
    }
}

fn outcome(socket: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<()> {
    let option = (libc::SOL_SOCKET, libc::SO_ERROR);
    let error = socket.call_method1(intern!(socket.py(), "getsockopt"), option)?;
    if error.ne(0)? {
        let text = format!("Connect call failed {}", address.str()?);
        return Err(PyOSError::new_err((error.unbind(), text)));
    }
    Ok(())
}
