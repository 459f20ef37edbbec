//! What happens to the ends of pipes, as entries of the loop's ready queue.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::{PipeEnd as _, ReadPipeTransport, WritePipeTransport};
use crate::callback::Callback;

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
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn run(&self, py: Python<'_>) -> PyResult<()> {
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

    pub(crate) fn again(&self, py: Python<'_>) -> Self {
        match self {
            Self::Read(end, happening) => Self::Read(end.clone_ref(py), *happening),
            Self::Write(end, happening) => Self::Write(end.clone_ref(py), *happening),
        }
    }

    /// The transport.
    pub(crate) fn end(&self) -> &Py<PyAny> {
        match self {
            Self::Read(end, _) => end.as_any(),
            Self::Write(end, _) => end.as_any(),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Read(end, _) => visit.call(end),
            Self::Write(end, _) => visit.call(end),
        }
    }
}

impl From<PipeEvent> for Callback {
    fn from(event: PipeEvent) -> Self {
        Self::Pipe(event)
    }
}
