//! The pipe by which signals wake a loop. Their handlers are a chapter of `event_loop/`.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use ouroloop::fork;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

/// The pipe between the interpreter's signal handler and the loop, and who is to be called.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
    /// The interpreter writes into it now.
    pub(crate) attached: bool,
    pub(crate) handlers: HashMap<i32, Handler>,
}

/// A signal that a loop has taken on.
#[derive(Debug)]
pub(crate) struct Handler {
    /// A `Handle`.
    pub(crate) handle: Py<PyAny>,
    /// What the interpreter calls for it, as long as nobody has put something else there: `_sighandler_noop`.
    pub(crate) arrival: Py<PyAny>,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        use rustix::pipe::{PipeFlags, pipe_with};
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { read, write, attached: false, handlers: HashMap::new() })
    }

    /// Gives a forked child a pipe of its own behind the same numbers, into which the interpreter does not write yet.
    pub(super) fn take_over(&mut self) -> std::io::Result<()> {
        let own = Self::new()?;
        fork::exchange(self.read.as_fd(), own.read.as_fd())?;
        fork::exchange(self.write.as_fd(), own.write.as_fd())?;
        self.attached = false;
        Ok(())
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handlers.values().try_for_each(|handler| {
            visit.call(&handler.handle)?;
            visit.call(&handler.arrival)
        })
    }

    /// Takes the numbers out of the pipe.
    pub(crate) fn arrived(&self) -> Vec<i32> {
        let mut arrived = Vec::new();
        let mut numbers = [0_u8; 256];
        while let Ok(count @ 1..) = rustix::io::read(&self.read, &mut numbers) {
            arrived.extend(numbers[..count].iter().map(|&number| i32::from(number)));
        }
        arrived
    }
}

pub(crate) fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = crate::interpreter::modules::module(py, intern!(py, "threading"))?;
    let main = threading.call_method0(intern!(py, "main_thread"))?;
    let here = threading.call_method0(intern!(py, "get_ident"))?;
    main.getattr(intern!(py, "ident"))?.eq(here)
}
