//! Modules of the standard library, of which native code asks while it runs.
//!
//! They are looked for where `import` looks, so that a program's substitute counts. At the
//! interpreter's end there is nothing to be found any more, while `__del__` methods still close loops and
//! kill processes, and on asyncio can: its modules have what they need among their globals. So each of
//! these is kept from the beginning on.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

/// All that [`module`] is asked for.
const NAMES: &[&str] = &[
    "_abc",
    "_ssl",
    "_thread",
    "abc",
    "asyncio.base_events",
    "asyncio.base_subprocess",
    "asyncio.constants",
    "asyncio.coroutines",
    "asyncio.events",
    "asyncio.exceptions",
    "asyncio.futures",
    "asyncio.locks",
    "asyncio.selector_events",
    "asyncio.sslproto",
    "asyncio.tasks",
    "asyncio.timeouts",
    "asyncio.unix_events",
    "builtins",
    "collections.abc",
    "concurrent.futures",
    "concurrent.futures.thread",
    "io",
    "os",
    "queue",
    "signal",
    "ssl",
    "stat",
    "subprocess",
    "sys",
    "threading",
    "traceback",
    "types",
    "warnings",
    "weakref",
];

static KEPT: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Keeps the modules; those that an interpreter was built without are left out.
///
/// # Errors
/// Those of a dictionary.
pub(crate) fn keep(py: Python<'_>) -> PyResult<()> {
    let kept = PyDict::new(py);
    for name in NAMES {
        if let Ok(module) = py.import(name) {
            kept.set_item(name, module)?;
        }
    }
    KEPT.get_or_init(py, || kept.unbind());
    Ok(())
}

/// `import name`.
///
/// # Errors
/// Those of importing a module that is not kept.
#[inline]
pub(crate) fn module<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyModule>> {
    py.import(name).or_else(|error| kept(name, error))
}

#[cold]
fn kept<'py>(name: &Bound<'py, PyString>, error: PyErr) -> PyResult<Bound<'py, PyModule>> {
    let py = name.py();
    let ordinary = error.is_instance_of::<PyException>(py);
    let Some(kept) = KEPT.get(py).filter(|_| ordinary) else { return Err(error) };
    match kept.bind(py).get_item(name)? {
        Some(module) => Ok(module.cast_into()?),
        None => Err(error),
    }
}
