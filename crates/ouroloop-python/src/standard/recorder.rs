//! The standard functions by which it is recorded who waits for a future.

use pyo3::prelude::*;

use crate::interpreter::fresh::Text;

/// One of the standard functions that keep account of waiters, as C has it and as Python has it for
/// futures of its own.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// The standard class of futures.
    future: Py<PyAny>,
    c: Py<PyAny>,
    python: Py<PyAny>,
}

/// The function of this name.
///
/// # Errors
/// `AttributeError` where asyncio has no such function.
pub(super) fn recorder(py: Python<'_>, name: &str) -> PyResult<Recorder> {
    let futures = py.import(Text("asyncio.futures"))?;
    let python = futures.getattr(Text(format!("_py_{name}")))?.unbind();
    let future = futures.getattr(Text("Future"))?.unbind();
    Ok(Recorder { future, c: futures.getattr(name)?.unbind(), python })
}

impl Recorder {
    /// # Errors
    /// None that asyncio's have.
    pub(crate) fn record(&self, fut: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = fut.py();
        let of_c = fut.is_instance(self.future.bind(py))?;
        let function = if of_c { &self.c } else { &self.python };
        function.bind(py).call1((fut, waiter)).map(drop)
    }
}
