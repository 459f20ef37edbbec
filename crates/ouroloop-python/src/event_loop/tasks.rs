//! Making futures and tasks.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
#[cfg(Py_3_13)]
use pyo3::types::PyDict;

use super::Loop;
#[cfg(all(Py_3_13, not(Py_3_14)))]
use crate::errors::contract::{of_a_standard_loop, takes_any_keyword};
use crate::future::Future;
use crate::interpreter::fresh;
use crate::task::substitutes;
#[cfg(all(Py_3_13, not(Py_3_14)))]
use crate::task::unexpected;

#[pymethods]
impl Loop {
    /// A pending future of this loop.
    fn create_future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match substitutes::future_class(slf.py())? {
            None => Ok(Future::create(slf)?.into_any()),
            Some(class) => substitutes::make_future(&class, slf),
        }
    }

    /// Schedules a coroutine as a task.
    #[cfg(not(Py_3_13))]
    #[pyo3(name = "create_task", signature = (coro, *, name=None, context=None))]
    fn create_task_by_name<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        name: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::make_task(slf, coro, name, context, None)
    }

    /// Schedules a coroutine as a task; other keywords, where the running release takes them, are the
    /// task's own.
    #[cfg(all(Py_3_13, not(Py_3_14)))]
    #[pyo3(name = "create_task", signature = (coro, *, name=None, context=None, **kwargs))]
    fn create_task_by_name<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        name: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let others = kwargs.filter(|kwargs| !kwargs.is_empty());
        if let Some(others) = others {
            check_keywords(others)?;
        }
        Self::make_task(slf, coro, name, context, others)
    }

    /// Schedules a coroutine as a task; the keywords are the task's own.
    #[cfg(Py_3_14)]
    #[pyo3(signature = (coro, **kwargs))]
    fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::make_task(slf, coro, kwargs)
    }

    /// Makes `factory(loop, coro, **kwargs)` the maker of this loop's tasks; `None` undoes it.
    fn set_task_factory(&self, py: Python<'_>, factory: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if factory.as_ref().is_some_and(|factory| !factory.is_callable()) {
            return Err(fresh::error::<PyTypeError>("task factory must be a callable or None"));
        }
        let factory = factory.map(Bound::unbind);
        drop(self.state.with(py, |state| std::mem::replace(&mut state.task_factory, factory)));
        Ok(())
    }

    /// The maker of this loop's tasks, or `None` for native ones.
    fn get_task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task_factory(py)
    }
}

/// Refuses keywords that a stock loop of the running release refuses: from 3.13.3 on it takes any.
#[cfg(all(Py_3_13, not(Py_3_14)))]
fn check_keywords(others: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = others.py();
    if takes_any_keyword(&of_a_standard_loop(intern!(py, "create_task"))?)? {
        return Ok(());
    }
    let others = fresh::items(others)?;
    let name = others.first().map_or(Ok(""), |(name, _)| name.extract())?;
    Err(unexpected("Loop.create_task", name))
}
