//! The module is made once in a process, in the main interpreter.
//!
//! Its classes are made once, and patched right after, when nothing can have read or been made by what was
//! there before; patched again they would be of another size than their objects. So
//!
//! 1. whoever imports it again, because it was taken out of `sys.modules`, gets a module with the same
//!    contents, and nothing is patched;
//! 2. a making that failed half-way is not tried again;
//! 3. another interpreter in this process, which has other modules but would get the same classes, is
//!    refused.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::cell::AttachedCell;
use crate::fresh;

static BEGUN: AttachedCell<bool> = AttachedCell::new(false);
/// What is in the first module.
static CONTENTS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Has `make` fill the first module; any other gets what that has.
///
/// # Errors
/// Those of `make`; `ImportError` in another interpreter, and after a failure.
pub(crate) fn fill(
    module: &Bound<'_, PyModule>,
    make: impl FnOnce() -> PyResult<()>,
) -> PyResult<()> {
    let py = module.py();
    if !is_main_interpreter(py) {
        let message = "ouroloop does not support subinterpreters";
        return Err(fresh::error::<PyImportError>(message));
    }
    let contents = module.dict();
    if let Some(first) = CONTENTS.get(py) {
        // What describes the module itself, such as its `__spec__`, is its own.
        return contents.as_any().call_method1("update", (others_of(first.bind(py))?,)).map(drop);
    }
    if BEGUN.replace(py, true) {
        let message = "ouroloop could not be imported before, and cannot be in this process";
        return Err(fresh::error::<PyImportError>(message));
    }
    make()?;
    let first = others_of(&contents)?.unbind();
    CONTENTS.get_or_init(py, || first);
    Ok(())
}

/// The entries that are not special.
fn others_of<'py>(contents: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let others = contents.copy()?;
    for name in contents.keys() {
        if name.extract::<&str>()?.starts_with("__") {
            others.del_item(name)?;
        }
    }
    Ok(others)
}

fn is_main_interpreter(_: Python<'_>) -> bool {
    // SAFETY: attached, so there is one; the main interpreter's number is zero.
    unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) == 0 }
}
