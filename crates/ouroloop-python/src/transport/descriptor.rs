//! A descriptor that a transport owns and a Python socket object shares.
//!
//! Two may close it, so it must be certain at each moment who does, whatever is raised meanwhile: by a
//! method of a class derived from `socket.socket`, by a signal's handler in the middle of one that is
//! written in Python, or at the interpreter's end. Therefore
//!
//! 1. an object gets a descriptor ([`share`]) and loses it ([`close`]) by the methods of the class
//!    that `socket.socket` derives from, which is written in C and runs nothing else;
//! 2. a `detach` of the program's own is asked first, and when it fails, the object itself;
//! 3. a number that may be somebody else's by now is forgotten, not closed.

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::standard::Standard;

use crate::interpreter::fresh;

/// Takes the descriptor of a Python socket over.
///
/// Its `close()` from now on only marks it closed: it counts the transport as one of the file
/// objects (`makefile`) that still need the descriptor.
///
/// # Errors
/// `ValueError` for a closed socket.
pub(super) fn take_over(socket: &Bound<'_, PyAny>) -> PyResult<OwnedFd> {
    let py = socket.py();
    let fd: RawFd = socket.call_method0(intern!(py, "fileno"))?.extract()?;
    if fd < 0 {
        return Err(fresh::error::<PyValueError>(format!("Invalid file descriptor: {fd}")));
    }
    if let Some(users) = socket.getattr_opt(intern!(py, "_io_refs"))? {
        socket.setattr(intern!(py, "_io_refs"), users.add(1)?)?;
    }
    // SAFETY: the socket object owns an open descriptor of this number and, counting us among its
    // users, does not close it until we have.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A non-blocking Python socket that shares the descriptor `fd`, with `users` file objects that need it.
/// Of what kind it is, is what `kind` says (`family`, `type`, `proto`), else what the kernel says.
///
/// # Errors
/// What making it raises; then nobody shares the descriptor.
pub(crate) fn share<'py>(
    kind: &Bound<'py, PyDict>,
    fd: RawFd,
    users: u32,
) -> PyResult<Bound<'py, PyAny>> {
    let py = kind.py();
    let standard = Standard::get(py)?;
    let class = standard.socket.bind(py);
    let socket = class.call_method1(intern!(py, "__new__"), (class,))?;
    socket.setattr(intern!(py, "_io_refs"), users)?;
    socket.setattr(intern!(py, "_closed"), false)?;
    kind.set_item(intern!(py, "fileno"), fd)?;
    let raw = standard.raw_socket.bind(py);
    raw.call_method(intern!(py, "__init__"), (&socket,), Some(kind))?;
    if let Err(error) = raw.call_method1(intern!(py, "setblocking"), (&socket, false)) {
        detach_raw(&socket);
        return Err(error);
    }
    Ok(socket)
}

/// Makes a descriptor the Python socket's that shares it: from here on the object closes it.
pub(crate) fn hand_over(owned: OwnedFd) {
    let _number = owned.into_raw_fd();
}

/// Takes a descriptor away from a Python socket; answers what it had, `None` if nothing.
pub(crate) fn detach_raw(socket: &Bound<'_, PyAny>) -> Option<RawFd> {
    let py = socket.py();
    // Nothing that the object could do about it: a socket of another kind, or one without memory for the
    // answer, has lost its descriptor or never had one.
    let detach = || -> PyResult<RawFd> {
        let raw = Standard::get(py)?.raw_socket.bind(py);
        raw.call_method1(intern!(py, "detach"), (socket,))?.extract()
    };
    detach().ok().filter(|fd| *fd >= 0)
}

/// Closes a transport's descriptor, which `socket` shares and must not close once more.
///
/// # Errors
/// Those of a `detach` that is not the standard one.
pub(super) fn close(socket: &Bound<'_, PyAny>, owned: OwnedFd) -> PyResult<()> {
    let number = owned.as_raw_fd();
    // From here on it is nobody's, until it is known that it is ours.
    hand_over(owned);
    let answer = detach(socket);
    let ours = match &answer {
        Ok(fd) if *fd < 0 => false,
        Ok(fd) if *fd == number => true,
        _ => detach_raw(socket) == Some(number),
    };
    if ours {
        // SAFETY: the object had the descriptor until just now, and has been made to forget it.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
    answer.map(drop)
}

/// `socket.detach()`: a standard socket's without running Python code, which signals interrupt.
fn detach(socket: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let py = socket.py();
    if !socket.get_type().is(&Standard::get(py)?.socket) {
        return socket.call_method0(intern!(py, "detach"))?.extract();
    }
    socket.setattr(intern!(py, "_closed"), true)?;
    Ok(detach_raw(socket).unwrap_or(-1))
}
