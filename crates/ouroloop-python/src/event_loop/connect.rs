//! `sock_connect`: a socket's connection, waited for on the loop.

use std::os::fd::RawFd;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use super::Loop;
use super::dns::{Hints, resolve, unpack};
use super::sock::{
    DescriptorWait, Direction, check_non_blocking, descriptor, refuse_ssl_socket, would_block,
};
use crate::coroutine::{Coroutine, Scope, nothing};
use crate::interpreter::fresh;

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
        check_non_blocking(event_loop.bind(py), socket)?;
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
    let started = Python::attach(|py| start(socket.bind(py), address.bind(py)))?;
    let Some(fd) = started else { return Ok(nothing()) };
    loop {
        let wait =
            Python::attach(|py| DescriptorWait::begin(event_loop.bind(py), fd, Direction::Write))?;
        scope.wait(Python::attach(|py| wait.future(py))).await?;
        if Python::attach(|py| has_ended(socket.bind(py), address.bind(py)))? {
            return Ok(nothing());
        }
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
        flags: fresh::int(py, 0)?.into_any().unbind(),
    }))
}

/// Asks the kernel for the connection; answers the descriptor to wait for unless it is there at once.
fn start(socket: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<Option<RawFd>> {
    let py = socket.py();
    let fd = descriptor(socket)?;
    match socket.call_method1(intern!(py, "connect"), (address,)) {
        Ok(_) => Ok(None),
        Err(error) if would_block(py, &error) => Ok(Some(fd)),
        Err(error) => Err(error),
    }
}

/// Learns how the attempt ended; answers whether it has.
fn has_ended(socket: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = socket.py();
    let option = (libc::SOL_SOCKET, libc::SO_ERROR);
    match socket.call_method1(intern!(py, "getsockopt"), option) {
        Ok(error) if error.eq(0)? => Ok(true),
        Ok(error) => {
            let text = fresh::text(format_args!("Connect call failed {}", address.str()?))?;
            Err(PyOSError::new_err((error.unbind(), text)))
        }
        Err(error) if would_block(py, &error) => Ok(false),
        Err(error) => Err(error),
    }
}
