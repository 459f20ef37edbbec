//! The standard module's own ways to the running task of a loop.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
#[cfg(not(Py_3_14))]
use pyo3::types::PyDict;

use crate::interpreter::fresh::Text;

/// The place is not known, or holds something else than before: the public way is left.
#[derive(Debug)]
pub(super) struct NotHere;

#[derive(Debug)]
struct Ways {
    /// From loop to running task.
    #[cfg(not(Py_3_14))]
    dictionary: Py<PyDict>,
    #[cfg(Py_3_14)]
    swap: Py<PyAny>,
    #[cfg(Py_3_14)]
    get: Py<PyAny>,
}

static WAYS: PyOnceLock<Ways> = PyOnceLock::new();

/// Looks them up, before a program can put something in their place.
///
/// # Errors
/// Those of the import.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    WAYS.get_or_try_init(py, || -> PyResult<Ways> {
        let tasks = py.import(Text("asyncio.tasks"))?;
        Ok(Ways {
            #[cfg(not(Py_3_14))]
            dictionary: tasks.getattr(Text("_current_tasks"))?.cast_into()?.unbind(),
            #[cfg(Py_3_14)]
            swap: tasks.getattr(Text("_swap_current_task"))?.unbind(),
            #[cfg(Py_3_14)]
            get: tasks.getattr(Text("current_task"))?.unbind(),
        })
    })?;
    Ok(())
}

#[inline]
fn ways(py: Python<'_>) -> &'static Ways {
    WAYS.get(py).expect("the module was initialised")
}

/// The dictionary from loop to running task.
#[cfg(not(Py_3_14))]
#[inline]
pub(super) fn dictionary(py: Python<'_>) -> &Bound<'_, PyDict> {
    ways(py).dictionary.bind(py)
}

/// The running task of `event_loop`, of any kind.
///
/// # Errors
/// Those of hashing and comparing loops.
#[inline]
pub(crate) fn get<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    #[cfg(not(Py_3_14))]
    return dictionary(py).get_item(event_loop);
    #[cfg(Py_3_14)]
    Ok(Some(ways(py).get.bind(py).call1((event_loop,))?).filter(|task| !task.is_none()))
}

/// Exchanges the running task of `event_loop`; answers the one before, or `None`.
///
/// # Errors
/// Those of hashing and comparing loops; `RuntimeError` for a loop that is not the running one (3.14).
pub(crate) fn swap<'py>(
    event_loop: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    #[cfg(not(Py_3_14))]
    {
        let current = dictionary(py);
        let before = current.get_item(event_loop)?;
        if !task.is_none() {
            current.set_item(event_loop, task)?;
        } else if before.is_some() {
            current.del_item(event_loop)?;
        }
        Ok(before.unwrap_or_else(|| py.None().into_bound(py)))
    }
    #[cfg(Py_3_14)]
    ways(py).swap.bind(py).call1((event_loop, task))
}
