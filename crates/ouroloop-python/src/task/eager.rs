//! Tasks that take their first step when they are made: `asyncio.eager_task_factory`.
//!
//! A native loop that is given the standard factory makes such tasks itself: see
//! `event_loop::tasks`.

use pyo3::PyClassInitializer;
#[cfg(Py_3_14)]
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
#[cfg(Py_3_14)]
use pyo3::types::PyDict;

use super::{Making, Task};
use crate::event_loop::Loop;
use crate::future::{Future, Home};

/// A task factory for any loop: native tasks that start at once.
#[cfg(not(Py_3_14))]
#[pyfunction]
#[pyo3(signature = (r#loop, coro, *, name=None, context=None))]
pub(crate) fn eager_task_factory<'py>(
    r#loop: &Bound<'py, PyAny>,
    coro: Bound<'py, PyAny>,
    name: Option<Bound<'py, PyAny>>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Task>> {
    make(r#loop, &Making { coroutine: coro, name, context, eager_start: true })
}

/// A task factory for any loop: native tasks that start at once.
#[cfg(Py_3_14)]
#[pyfunction]
#[pyo3(signature = (r#loop, coro, **kwargs))]
pub(crate) fn eager_task_factory<'py>(
    r#loop: &Bound<'py, PyAny>,
    coro: Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Task>> {
    make(r#loop, &Making::from_keywords(coro, kwargs, true)?)
}

fn make<'py>(event_loop: &Bound<'py, PyAny>, making: &Making<'py>) -> PyResult<Bound<'py, Task>> {
    if let Ok(native) = event_loop.cast::<Loop>() {
        return Task::create(native, making);
    }
    let parts = PyClassInitializer::from(Future::new(Home::None)).add_subclass(Task::empty());
    let task = Bound::new(event_loop.py(), parts)?;
    Task::initialize(&task, Some(event_loop.clone()), making)?;
    Ok(task)
}

#[cfg(Py_3_14)]
impl<'py> Making<'py> {
    /// What the keywords of a loop's `create_task` ask for, which are those of `Task`.
    ///
    /// # Errors
    /// `TypeError` for a keyword that `Task` does not know.
    pub(crate) fn from_keywords(
        coroutine: Bound<'py, PyAny>,
        keywords: Option<&Bound<'py, PyDict>>,
        eager_start: bool,
    ) -> PyResult<Self> {
        let mut making = Self { coroutine, name: None, context: None, eager_start };
        for (key, value) in keywords.into_iter().flat_map(|keywords| keywords.iter()) {
            match key.extract::<&str>()? {
                "name" => making.name = Some(value).filter(|value| !value.is_none()),
                "context" => making.context = Some(value).filter(|value| !value.is_none()),
                "eager_start" => making.eager_start = value.is_truthy()?,
                other => {
                    return Err(PyTypeError::new_err(format!(
                        "Task() got an unexpected keyword argument '{other}'"
                    )));
                }
            }
        }
        Ok(making)
    }
}
