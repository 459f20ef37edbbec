//! `await writer.drain()`.
//!
//! | stage | waits for | left by |
//! | --- | --- | --- |
//! | `Fresh` | nothing | the first step: done, where nothing has to be waited for |
//! | `Turn` | one turn of the loop, in which a closing transport may lose its connection | the next step |
//! | `Flow` | the protocol's `_drain_helper()` | its end |

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::StreamWriter;
use crate::coroutine::{Body, Incoming, iterator_of, step_into};
use crate::native::slots::Resumed;
use crate::stream::protocol::StreamReaderProtocol;
use crate::stream::reader::{StreamReader, raise};

enum DrainStage {
    Fresh,
    Turn,
    Flow(Py<PyAny>),
}

pub(super) struct Drain {
    writer: Py<StreamWriter>,
    stage: DrainStage,
}

impl Drain {
    pub(super) fn new(writer: &Bound<'_, StreamWriter>) -> Self {
        Self { writer: writer.clone().unbind(), stage: DrainStage::Fresh }
    }

    /// Whether one turn has to pass first.
    fn begin(writer: &Bound<'_, StreamWriter>) -> PyResult<bool> {
        let reader = StreamWriter::reader(writer)?;
        let failure = match reader.cast::<StreamReader>() {
            Ok(native) if StreamReader::is_plain(native) => native.get().failure(writer.py()),
            _ if reader.is_none() => None,
            _ => {
                let error = reader.call_method0(intern!(writer.py(), "exception"))?;
                Some(error).filter(|error| !error.is_none())
            }
        };
        match failure {
            Some(error) => Err(raise(error)),
            None => StreamWriter::is_closing(&StreamWriter::transport(writer)?),
        }
    }

    /// What the rest of the wait is stepped through; `None` if there is nothing to wait for.
    fn flow(writer: &Bound<'_, StreamWriter>) -> PyResult<Option<Py<PyAny>>> {
        let protocol = StreamWriter::protocol(writer)?;
        if let Ok(native) = protocol.cast::<StreamReaderProtocol>()
            && StreamReaderProtocol::flows(native)
        {
            return Ok(None);
        }
        let wait = protocol.call_method0(intern!(writer.py(), "_drain_helper"))?;
        iterator_of(&wait).map(|iterator| Some(iterator.unbind()))
    }
}

impl Body for Drain {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let writer = self.writer.bind(py);
        let value = match (&self.stage, incoming) {
            (DrainStage::Fresh, Ok(value)) => match Self::begin(writer) {
                Ok(false) => value,
                Ok(true) => {
                    self.stage = DrainStage::Turn;
                    return Resumed::Yielded(py.None());
                }
                Err(error) => return Resumed::Raised(error),
            },
            (DrainStage::Turn, Ok(value)) => value,
            (DrainStage::Fresh | DrainStage::Turn, Err(error)) => return Resumed::Raised(error),
            (DrainStage::Flow(iterator), incoming) => {
                return nothing_but(py, step_into(iterator.bind(py), incoming));
            }
        };
        match Self::flow(writer) {
            Ok(None) => Resumed::Returned(py.None()),
            Ok(Some(iterator)) => {
                let resumed = step_into(iterator.bind(py), Ok(value));
                self.stage = DrainStage::Flow(iterator);
                nothing_but(py, resumed)
            }
            Err(error) => Resumed::Raised(error),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.writer)?;
        match &self.stage {
            DrainStage::Fresh | DrainStage::Turn => Ok(()),
            DrainStage::Flow(iterator) => visit.call(iterator),
        }
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.stage {
            DrainStage::Fresh | DrainStage::Turn => None,
            DrainStage::Flow(iterator) => Some(iterator.clone_ref(py)),
        }
    }
}

/// A step of a wait whose result is left out.
fn nothing_but(py: Python<'_>, resumed: Resumed) -> Resumed {
    match resumed {
        Resumed::Returned(_) => Resumed::Returned(py.None()),
        resumed => resumed,
    }
}
