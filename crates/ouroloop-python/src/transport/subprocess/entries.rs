//! What happens to a subprocess transport, as entries of the loop's queue.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::SubprocessTransport;
use crate::event_loop::Loop;
use crate::handle::confine;
use crate::turn::{KindOf, Subject, Watched, Work};

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    /// The pipes are connected.
    Connected,
    /// The next of the waiting calls is due.
    Call,
    /// The child's descriptor says that it has ended.
    Ended,
    /// The child has ended and been reaped; it is time to say so.
    Exited(i32),
}

/// What happens, and to which transport.
#[derive(Debug)]
pub(super) struct Process(pub(super) Py<SubprocessTransport>, pub(super) Happening);

impl Work for Process {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Process> = KindOf::new("subprocess.notice").watched();
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let transport = self.0.bind(event_loop.py());
        confine(event_loop, transport, |it| SubprocessTransport::on(it, self.1))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Watched for Process {
    fn again(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py), self.1)
    }
}
