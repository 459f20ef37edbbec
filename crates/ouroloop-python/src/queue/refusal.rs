//! What a queue refuses, and how that is told.

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::interpreter::fresh::Text;
use crate::standard::Standard;

/// Why a queue does not do at once what it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Full,
    Empty,
    ShutDown,
}

impl Refusal {
    /// asyncio's exception.
    pub(super) fn error(self, py: Python<'_>) -> PyErr {
        let class = Standard::get(py).and_then(|standard| match self {
            Self::Full => Ok(standard.queue_full.bind(py).clone()),
            Self::Empty => Ok(standard.queue_empty.bind(py).clone()),
            Self::ShutDown => py.import(Text("asyncio.queues"))?.getattr(Text("QueueShutDown")),
        });
        match class.and_then(|class| Ok(class.cast_into::<PyType>()?)) {
            Ok(class) => PyErr::from_type(class, ()),
            Err(error) => error,
        }
    }
}
