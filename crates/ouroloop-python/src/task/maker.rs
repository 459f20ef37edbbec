//! The tasks that a loop makes: native ones, those of its factory, or of a class that a program has put in place.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::create::Making;
use super::object::Task;
use super::substitutes;
use crate::interpreter::fresh;
use crate::interpreter::once::Once as _;
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::method::function_of;
#[cfg(Py_3_12)]
use crate::standard::Standard;
use crate::turn::Loop;

impl Loop {
    /// A task; the keywords are its own.
    ///
    /// # Errors
    /// Those of the task's class, and of the factory.
    #[cfg(Py_3_14)]
    pub(crate) fn make_task<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check_closed(py)?;
        let mut eager_start = false;
        if let Some(factory) = slf.get().task_factory(py) {
            if !makes_eager_tasks(&factory, py)? {
                let _level = Level::enter(py)?;
                return factory.bind(py).call((slf, coro), kwargs);
            }
            eager_start = true;
        } else if let Some(class) = substitutes::task_class(py)? {
            return substitutes::make_task(&class, slf, coro, kwargs);
        }
        let making = Making { coroutine: coro, name: None, context: None, eager_start };
        Ok(Task::create(slf, &making.with(kwargs)?)?.into_any())
    }

    /// A task with a name and a context; `others` are keywords of its own.
    ///
    /// # Errors
    /// Those of the task's class, and of the factory.
    #[cfg(not(Py_3_14))]
    pub(crate) fn make_task<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        name: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
        others: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check_closed(py)?;
        let Some(factory) = slf.get().task_factory(py) else {
            if let Some(class) = substitutes::task_class(py)? {
                let keywords = copied(py, others)?;
                keywords.set_item(intern!(py, "name"), name)?;
                keywords.set_item(intern!(py, "context"), context)?;
                return substitutes::make_task(&class, slf, coro, Some(&keywords));
            }
            let making = Making { coroutine: coro, name, context, eager_start: false };
            return Ok(Task::create(slf, &making.with(others)?)?.into_any());
        };
        // Only what the caller gave is passed on: factories of the time take no more.
        let task = if others.is_none() && makes_eager_tasks(&factory, py)? {
            let making = Making { coroutine: coro, name: None, context, eager_start: true };
            Task::create(slf, &making)?.into_any()
        } else {
            let _level = Level::enter(py)?;
            let keywords = copied(py, others)?;
            if let Some(context) = context {
                keywords.set_item(intern!(py, "context"), context)?;
            }
            factory.bind(py).call((slf, coro), Some(&keywords))?
        };
        if cfg!(not(Py_3_13)) {
            if let Some(name) = name {
                task.call_method1(intern!(py, "set_name"), (name,))?;
            }
        } else {
            task.call_method1(intern!(py, "set_name"), (name,))?;
        }
        Ok(task)
    }

    /// Whether the loop's `create_task` is the native one, with no factory to ask and no substitute.
    pub(crate) fn makes_native_tasks(slf: &Bound<'_, Self>) -> PyResult<bool> {
        static OURS: PyOnceLock<usize> = PyOnceLock::new();
        let py = slf.py();
        if slf.get().state.with(py, |state| state.task_factory.is_some())
            || substitutes::task_class(py)?.is_some()
        {
            return Ok(false);
        }
        let ours = OURS.find(py, || -> PyResult<usize> {
            let method = py.get_type::<Self>().getattr(intern!(py, "create_task"))?;
            Ok(function_of(&method.call_method1(intern!(py, "__get__"), (slf,))?))
        })?;
        Ok(*ours != 0 && function_of(&slf.getattr(intern!(py, "create_task"))?) == *ours)
    }

    pub(crate) fn task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.task_factory.clone_ref(py))
    }
}

/// Whether a task factory is the standard one for eager tasks, whose work the loop does itself.
/// (Ours may be called: it is native.)
#[cfg(Py_3_12)]
fn makes_eager_tasks(factory: &Py<PyAny>, py: Python<'_>) -> PyResult<bool> {
    Ok(Standard::get(py)?.eager_task_factory.is(factory))
}

/// Eager tasks came with 3.12.
#[cfg(not(Py_3_12))]
#[expect(clippy::unnecessary_wraps, reason = "the other versions look the standard one up")]
fn makes_eager_tasks(_factory: &Py<PyAny>, _py: Python<'_>) -> PyResult<bool> {
    Ok(false)
}

impl<'py> Making<'py> {
    /// The same with what the keywords of a loop's `create_task` ask for, which are those of `Task`.
    ///
    /// # Errors
    /// `TypeError` for a keyword that `Task` does not know.
    fn with(mut self, keywords: Option<&Bound<'py, PyDict>>) -> PyResult<Self> {
        let Some(keywords) = keywords else { return Ok(self) };
        for (key, value) in fresh::items(keywords)? {
            match key.extract::<&str>()? {
                "name" => self.name = Some(value).filter(|value| !value.is_none()),
                "context" => self.context = Some(value).filter(|value| !value.is_none()),
                "eager_start" => self.eager_start = value.is_truthy()?,
                other => return Err(unexpected("Task", other)),
            }
        }
        Ok(self)
    }
}

pub(crate) fn unexpected(function: &str, keyword: &str) -> PyErr {
    fresh::error_saying::<PyTypeError>(format_args!(
        "{function}() got an unexpected keyword argument '{keyword}'"
    ))
}

#[cfg(not(Py_3_14))]
fn copied<'py>(
    py: Python<'py>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    keywords.map_or_else(|| fresh::dict(py), PyDictMethods::copy)
}
