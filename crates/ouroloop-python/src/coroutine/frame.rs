//! Frames of native coroutines, for whoever looks: stacks of tasks, call graphs, debuggers.
//!
//! Native code has no frame. A coroutine that is asked for its own shows that of a stand-in, an
//! `async def` of the same name which waits and goes no further. Stand-ins are made when somebody
//! asks and live as long as their coroutine. Their code lies in the file `<ouroloop>`, which does
//! not exist: it has no lines that anyone could mistake for what runs.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::interpreter::fresh::Text;
use crate::interpreter::once::Once as _;
use crate::native::embedded;

const FILE: &str = "<ouroloop>";

const FUNCTIONS: &str = include_str!("frame.py");

fn functions(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    static DEFINED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let defined =
        DEFINED.find(py, || embedded::define(py, &["types", "weakref"], FUNCTIONS, FILE))?;
    Ok(defined.bind(py))
}

/// The code object of a coroutine with this qualified name.
pub(super) fn code<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    functions(py)?.as_any().get_item(intern!(py, "code_of"))?.call1((Text(name),))
}

/// The stand-in of this qualified name for a coroutine, or for what runs within it.
pub(super) fn stand_in<'py>(
    coroutine: &Bound<'py, PyAny>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coroutine.py();
    functions(py)?.as_any().get_item(intern!(py, "stand_in"))?.call1((coroutine, Text(name)))
}
