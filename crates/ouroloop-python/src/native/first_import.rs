//! The module is made once in a process, in the main interpreter.
//!
//! Its classes are made once, and patched right after, when nothing can have read or been made by what was
//! there before; patched again they would be of another size than their objects. So
//!
//! 1. whoever imports it again, because it was taken out of `sys.modules`, gets a module with the same
//!    contents, and nothing is patched;
//! 2. a making that failed half-way is not tried again;
//! 3. another interpreter in this process, which has other modules but would get the same classes, is
//!    refused, be it one beside the first or one after its end.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::interpreter::fresh;
use crate::native::cell::AttachedCell;

/// The interpreter that has the classes is over.
static ENDED: AtomicBool = AtomicBool::new(false);
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
    // These two errors use nothing that was made before: it is another interpreter's.
    if !is_main_interpreter(py) {
        return Err(PyImportError::new_err("ouroloop does not support subinterpreters"));
    }
    if ENDED.load(Ordering::Relaxed) {
        let message = "ouroloop was imported in an interpreter of this process that has ended";
        return Err(PyImportError::new_err(message));
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
    // SAFETY: attached; the function may be called at any time.
    if unsafe { ffi::Py_AtExit(Some(end)) } != 0 {
        let message = "ouroloop would not notice the end of the interpreter";
        return Err(fresh::error::<PyImportError>(message));
    }
    make()?;
    let first = others_of(&contents)?.unbind();
    CONTENTS.get_or_init(py, || first);
    Ok(())
}

/// Called by the interpreter when it has ended.
extern "C" fn end() {
    ENDED.store(true, Ordering::Relaxed);
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
