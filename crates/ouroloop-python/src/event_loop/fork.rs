//! A loop in a forked child: its copy of the parent's, with which it may do nothing but let go.
//!
//! The engine sees to the kernel objects that both processes share ([`ouroloop::fork`]). On top
//! of that, in the child:
//!
//! 1. The loop does not run, and stops where it is if one of its callbacks made the fork.
//! 2. Transports neither send nor shut down; what was written before the fork is the parent's to
//!    send. A TLS session goes no further: its next record is the parent's, too.
//! 3. Processes are the parent's children: the child neither signals nor reaps them.
//! 4. Calls on the user's own sockets are refused before they are tried.
//! 5. Servers leave their socket files where they are, loops the child's signal handlers.
//! 6. Whatever goes closes its descriptors, without a `ResourceWarning`: they are not the child's
//!    to look after.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::Loop;

use crate::fresh;

impl Loop {
    /// Whether the loop was made by a process from which this one was forked.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        !self.process.is_current()
    }

    /// # Errors
    /// `RuntimeError` in a child of the process that made the loop.
    #[inline]
    pub(crate) fn refuse_inherited(&self) -> PyResult<()> {
        if self.is_inherited() { Err(inherited()) } else { Ok(()) }
    }
}

#[cold]
fn inherited() -> PyErr {
    let message = "This event loop belongs to the parent process; a forked child needs \
                   an event loop of its own";
    fresh::error::<PyRuntimeError>(message)
}
