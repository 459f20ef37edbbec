//! Sockets, transports and servers on their way to an owner.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::errors::contract::is_since;
use crate::interpreter::pending::Pending;

/// An object that is closed unless it is kept.
///
/// Whatever ends the operation that holds it (an error, a cancellation, a coroutine that nobody
/// resumes) drops it, and that calls the object's `close()`.
#[derive(Debug)]
pub(super) struct Closing {
    object: Py<PyAny>,
    kept: bool,
}

impl Closing {
    pub(super) fn new(object: Py<PyAny>) -> Self {
        Self { object, kept: false }
    }

    /// An object that stays its giver's.
    pub(super) fn lent(object: Py<PyAny>) -> Self {
        Self { object, kept: true }
    }

    /// A connected socket that the caller gave for a transport: from 3.14.8 on it is closed if it
    /// gets none, whosever it was.
    pub(super) fn given(socket: Py<PyAny>, py: Python<'_>) -> Self {
        let closes = is_since(py, &[(3, 14, 8)]);
        if closes { Self::new(socket) } else { Self::lent(socket) }
    }

    pub(super) fn bind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.object.bind(py)
    }

    /// The object has found its owner.
    pub(super) fn keep(mut self, py: Python<'_>) -> Py<PyAny> {
        self.kept = true;
        self.object.clone_ref(py)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // After the interpreter's end the operating system closes what is open.
        Python::try_attach(|py| {
            // A coroutine may be dropped while an exception is on its way.
            let _pending = Pending::put_aside(py);
            let object = self.object.bind(py);
            if let Err(error) = object.call_method0(intern!(py, "close"))
                && !error.is_instance_of::<PyOSError>(py)
            {
                error.write_unraisable(py, Some(object));
            }
        });
    }
}
