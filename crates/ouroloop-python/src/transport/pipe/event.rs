//! What happens to the ends of pipes, as entries of the loop's ready queue.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::{PipeEnd as _, ReadPipeTransport, WritePipeTransport};
use crate::event_loop::Loop;
use crate::handle::confine;
use crate::turn::{KindOf, Subject, Watched, Work};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The transport is to call its protocol's `connection_made`.
    Open,
    /// The descriptor is readable.
    Readable,
    /// The descriptor is writable.
    Writable,
    /// The transport is to call its protocol's `connection_lost`.
    Lost,
}

/// What happens, and to which transport.
#[derive(Debug)]
pub(crate) enum PipeEvent {
    Read(Py<ReadPipeTransport>, Happening),
    Write(Py<WritePipeTransport>, Happening),
}

impl PipeEvent {
    fn tell(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Read(end, happening) => {
                let end = end.bind(py);
                match happening {
                    Happening::Open => ReadPipeTransport::on_open(end),
                    Happening::Readable => ReadPipeTransport::on_readable(end),
                    Happening::Writable => Ok(()),
                    Happening::Lost => ReadPipeTransport::on_lost(end),
                }
            }
            Self::Write(end, happening) => {
                let end = end.bind(py);
                match happening {
                    Happening::Open => WritePipeTransport::on_open(end),
                    Happening::Readable => WritePipeTransport::on_reader_lost(end),
                    Happening::Writable => WritePipeTransport::on_writable(end),
                    Happening::Lost => WritePipeTransport::on_lost(end),
                }
            }
        }
    }

    fn end(&self) -> &Py<PyAny> {
        match self {
            Self::Read(end, _) => end.as_any(),
            Self::Write(end, _) => end.as_any(),
        }
    }
}

impl Work for PipeEvent {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<PipeEvent> = KindOf::new("pipe.event").watched();
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        confine(event_loop, self.end().bind(py), |_| self.tell(py))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.end().clone_ref(py)))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.end())
    }
}

impl Watched for PipeEvent {
    fn again(&self, py: Python<'_>) -> Self {
        match self {
            Self::Read(end, happening) => Self::Read(end.clone_ref(py), *happening),
            Self::Write(end, happening) => Self::Write(end.clone_ref(py), *happening),
        }
    }
}
