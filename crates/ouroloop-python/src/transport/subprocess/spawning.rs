//! Spawning a child: `subprocess.Popen`, called from where asyncio would call it.
//!
//! `Popen` blocks until the child executes its program, which is soon. Tools that report blocking
//! calls under a running loop (blockbuster is one) let this one pass if they find the method of
//! asyncio's loop on the stack, by its name and the end of its file's. A native method has no frame
//! there, so a Python function lends its own to the call. Its file lies in `<ouroloop>`, which does
//! not exist, so that tracebacks show no lines of asyncio's for it.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::object::STREAMS;
use crate::interpreter::fresh;
use crate::interpreter::once::Once as _;
use crate::native::embedded;

const FILE: &str = "<ouroloop>/asyncio/base_events.py";

const FUNCTIONS: &str = include_str!("spawning.py");

/// The method of the loop's that spawns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spawner {
    Exec,
    Shell,
}

impl Spawner {
    /// The `Popen` object of a new child. `rest` are the keyword arguments that asyncio's callers
    /// may choose.
    pub(crate) fn spawn<'py>(
        self,
        program: &Bound<'py, PyAny>,
        streams: [&Py<PyAny>; 3],
        bufsize: &Py<PyAny>,
        rest: Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = program.py();
        let keywords = rest;
        keywords.set_item(intern!(py, "shell"), matches!(self, Self::Shell))?;
        for (name, stream) in STREAMS.iter().zip(streams) {
            keywords.set_item(fresh::interned(py, name)?, stream)?;
        }
        keywords.set_item(intern!(py, "universal_newlines"), false)?;
        keywords.set_item(intern!(py, "bufsize"), bufsize)?;
        let popen = crate::interpreter::modules::module(py, intern!(py, "subprocess"))?
            .getattr(intern!(py, "Popen"))?;
        self.caller(py)?.call1((popen, program, keywords))
    }

    /// The function whose frame the call has.
    fn caller(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        static CALLERS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
        let callers = CALLERS.find(py, || embedded::define(py, &[], FUNCTIONS, FILE))?;
        callers.bind(py).as_any().get_item(match self {
            Self::Exec => intern!(py, "subprocess_exec"),
            Self::Shell => intern!(py, "subprocess_shell"),
        })
    }
}
