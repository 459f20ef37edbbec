//! Classes that a program has put in the place of asyncio's own.
//!
//! A stock loop makes its tasks of whatever `asyncio.tasks.Task` is at that moment, and its futures of
//! `asyncio.futures.Future`. So does ours; native objects stand for the standard classes.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::object::Task;
use crate::future::Future;
use crate::interpreter::fresh;
use crate::standard::Standard;
use crate::turn::Loop;

/// The class of which the loop makes tasks, if it is neither the standard nor the native one.
///
/// # Errors
/// Those of a dictionary's lookup.
#[inline]
pub(crate) fn task_class(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let standard = Standard::get(py)?;
    let native = Task::type_object_raw(py).cast();
    substitute(standard.tasks.bind(py), intern!(py, "Task"), [standard.task.as_ptr(), native])
}

/// The class of which the loop makes futures, if it is neither the standard nor the native one.
///
/// # Errors
/// Those of a dictionary's lookup.
#[inline]
pub(crate) fn future_class(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let standard = Standard::get(py)?;
    let native = Future::type_object_raw(py).cast();
    substitute(standard.futures.bind(py), intern!(py, "Future"), [standard.future.as_ptr(), native])
}

#[inline]
fn substitute<'py>(
    namespace: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
    ours: [*mut pyo3::ffi::PyObject; 2],
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let found = namespace.get_item(name)?;
    Ok(found.filter(|class| !ours.contains(&class.as_ptr())))
}

/// A task of a substitute, made as a stock loop would.
///
/// # Errors
/// What the class raises.
pub(crate) fn make_task<'py>(
    class: &Bound<'py, PyAny>,
    event_loop: &Bound<'py, Loop>,
    coroutine: Bound<'py, PyAny>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let all = match keywords {
        Some(keywords) => keywords.copy()?,
        None => fresh::dict(py)?,
    };
    all.set_item(intern!(py, "loop"), event_loop)?;
    class.call((coroutine,), Some(&all))
}

/// A future of a substitute.
///
/// # Errors
/// What the class raises.
pub(crate) fn make_future<'py>(
    class: &Bound<'py, PyAny>,
    event_loop: &Bound<'py, Loop>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = fresh::dict(event_loop.py())?;
    keywords.set_item(intern!(event_loop.py(), "loop"), event_loop)?;
    class.call((), Some(&keywords))
}
