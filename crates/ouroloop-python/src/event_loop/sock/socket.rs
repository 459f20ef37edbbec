//! What kind of socket object a method was given.
//!
//! Of an object that is exactly a `socket.socket` it is known what its methods do, so the system
//! call is made directly, on the descriptor. Any other object (a subclass, something that only
//! behaves like a socket) is used by its own methods.
//!
//! The descriptor's number lies in the object itself, right behind its head, where CPython has had
//! it all along. Nothing is trusted to that before it is proved at run time, by comparing the first
//! four numbers with what a socket's methods say of it; elsewhere the method is called.

use std::ffi::c_int;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::interpreter::fresh::Text;
use crate::standard::Standard;

/// The beginning of a socket object.
#[repr(C)]
struct SocketObject {
    head: ffi::PyObject,
    fd: c_int,
    family: c_int,
    kind: c_int,
    proto: c_int,
}

/// Whether `socket` is exactly a `socket.socket`.
#[inline]
pub(super) fn is_plain(socket: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(Standard::get(socket.py())?.socket.as_ptr() == socket.get_type_ptr().cast())
}

/// The descriptor of an open object that is exactly a `socket.socket`.
#[inline]
pub(super) fn plain_descriptor(socket: &Bound<'_, PyAny>) -> PyResult<Option<RawFd>> {
    if !is_plain(socket)? {
        return Ok(None);
    }
    let fd = descriptor(socket)?;
    Ok((fd >= 0).then_some(fd))
}

/// `socket.fileno()`.
///
/// # Errors
/// Those of the method.
#[inline]
pub(in crate::event_loop) fn descriptor(socket: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    if is_plain(socket)? && layout_holds(socket)? {
        // SAFETY: an object of this class is large enough and begins as described: that has been
        // proved for the class.
        return Ok(unsafe { (*socket.as_ptr().cast::<SocketObject>()).fd });
    }
    socket.call_method0(intern!(socket.py(), "fileno"))?.extract()
}

/// Whether [`SocketObject`] describes objects of exactly the class `socket.socket`; `plain` is one.
#[inline]
fn layout_holds(plain: &Bound<'_, PyAny>) -> PyResult<bool> {
    static HOLDS: OnceLock<bool> = OnceLock::new();
    match HOLDS.get() {
        Some(holds) => Ok(*holds),
        None => prove(plain).map(|holds| *HOLDS.get_or_init(|| holds)),
    }
}

#[cold]
fn prove(plain: &Bound<'_, PyAny>) -> PyResult<bool> {
    let size: usize = plain.get_type().getattr(Text("__basicsize__"))?.extract()?;
    if size < size_of::<SocketObject>() {
        return Ok(false);
    }
    let said: [c_int; 4] = [
        plain.call_method0(Text("fileno"))?.extract()?,
        plain.getattr(Text("family"))?.extract()?,
        plain.getattr(Text("type"))?.extract()?,
        plain.getattr(Text("proto"))?.extract()?,
    ];
    // SAFETY: the object is at least as large, by its class, and integers have no invalid values.
    let SocketObject { fd, family, kind, proto, .. } =
        unsafe { &*plain.as_ptr().cast::<SocketObject>() };
    Ok(said == [*fd, *family, *kind, *proto])
}

/// Calls a method that does not wait: `None` if it would have had to.
///
/// # Errors
/// Those of the method.
pub(super) fn by_method<'py>(
    socket: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match socket.call_method1(name, arguments) {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if would_block(socket.py(), &error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error says that a call is to be tried again when the descriptor is ready.
pub(in crate::event_loop) fn would_block(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py)
}
