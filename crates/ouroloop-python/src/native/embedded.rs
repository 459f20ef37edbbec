//! Python code in files beside Rust's, which is compiled in: functions that have to be Python's for the frames they
//! have. It is given the modules that it needs, and its annotations are strings: nothing is imported to define it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::interpreter::fresh::{self, Text};

/// What `source` defines with the help of these `modules`, which it cannot import at the interpreter's
/// end. Its frames say that it lies in `file`, which does not exist, so that nothing shows lines of
/// another file for it.
///
/// # Errors
/// What the code raises.
pub(crate) fn define(
    py: Python<'_>,
    modules: &[&str],
    source: &str,
    file: &str,
) -> PyResult<Py<PyDict>> {
    let builtins = crate::interpreter::modules::module(py, intern!(py, "builtins"))?;
    let code =
        builtins.call_method1(intern!(py, "compile"), (Text(source), Text(file), Text("exec")))?;
    let names = fresh::dict(py)?;
    for name in modules {
        let name = fresh::interned(py, name)?;
        names.set_item(&name, crate::interpreter::modules::module(py, &name)?)?;
    }
    builtins.call_method1(intern!(py, "exec"), (code, &names))?;
    Ok(names.unbind())
}
