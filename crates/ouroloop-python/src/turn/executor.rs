//! What a loop keeps of its default executor, which `executor/` makes.

use std::sync::Arc;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

/// The executor that `run_in_executor(None, …)` uses.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) object: Py<PyAny>,
    /// A native queue into which jobs go directly; none for an executor that the program has given.
    pub(crate) queue: Option<Py<PyAny>>,
}

/// Calls a worker of an executor, without the interpreter.
#[derive(Clone)]
pub(crate) struct Bell(Arc<dyn Fn() + Send + Sync>);

impl Executor {
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        visit.call(&self.queue)
    }
}

impl Bell {
    pub(crate) fn new(ring: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(ring))
    }

    pub(crate) fn ring(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bell")
    }
}
