//! What the loop tells a transport of datagrams, as entries of its queue.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::DatagramTransport;
use crate::event_loop::Loop;
use crate::handle::confine;
use crate::turn::{KindOf, Subject, Watched, Work};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Its life begins: `connection_made`.
    Open,
    /// Its life ends: `connection_lost`.
    Lost,
    /// The descriptor is readable.
    Readable,
    /// The descriptor is writable.
    Writable,
    /// Datagrams that were read before can be delivered again.
    Deliver,
}

/// What happens, and to which transport.
#[derive(Debug)]
pub(crate) struct Notice(pub(super) Py<DatagramTransport>, pub(super) Event);

impl Work for Notice {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Notice> = KindOf::new("datagram.notice").watched();
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let transport = self.0.bind(event_loop.py());
        confine(event_loop, transport, |it| DatagramTransport::on(it, self.1))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Watched for Notice {
    fn again(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py), self.1)
    }
}
