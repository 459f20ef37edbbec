//! A descriptor that a transport owns and a Python socket object shares.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::fresh;

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

/// Detaches the Python socket from a descriptor that its transport is about to close. Answers
/// whether the descriptor is still open: its owner may have closed it for good all the same.
///
/// # Errors
/// Those of a `detach` that is not the standard one.
pub(super) fn detach(socket: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(socket.call_method0(intern!(socket.py(), "detach"))?.extract::<RawFd>()? >= 0)
}

/// Closes a descriptor, or forgets the number of one that is closed already.
pub(super) fn close(owned: OwnedFd, open: bool) {
    if !open {
        let _gone = owned.into_raw_fd();
    }
}
