//! The Python function that a native one would be: its code, its defaults, its namespace.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::object::{Function, FunctionKind};
use crate::interpreter::fresh::Text;
use crate::interpreter::once::Once as _;
use crate::native::embedded;

/// Not in a file, so that nothing shows lines of another for it.
const FILE: &str = "<ouroloop>";

const MAKER: &str = include_str!("stand_in.py");

impl Function {
    /// The function's stand-in, which is made now if nobody has asked before.
    ///
    /// # Errors
    /// Those of running Python code.
    pub(super) fn stand_in<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        Ok(self.stand_in.find(py, || make(py, self))?.bind(py))
    }
}

fn make(py: Python<'_>, function: &Function) -> PyResult<Py<PyAny>> {
    static DEFINED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let defined = DEFINED.find(py, || embedded::define(py, &[], MAKER, FILE))?;
    let (opening, calling) = match function.kind {
        FunctionKind::Coroutine => ("async def", "return await"),
        FunctionKind::Generator => ("def", "yield from"),
        FunctionKind::Plain => ("def", "return"),
    };
    let arguments = (
        &function.native,
        &function.qualified_name,
        function.module(py)?,
        Text(opening),
        Text(calling),
    );
    let make = defined.bind(py).as_any().get_item(intern!(py, "make"))?;
    Ok(make.call1(arguments)?.unbind())
}
