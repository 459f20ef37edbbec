//! Making futures and tasks.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::Loop;
#[cfg(all(Py_3_13, not(Py_3_14)))]
use crate::errors::contract::{of_a_standard_loop, takes_any_keyword};
use crate::future::Future;
use crate::interpreter::fresh;
use crate::interpreter::once::Once as _;
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::method::function_of;
#[cfg(Py_3_12)]
use crate::standard::Standard;
use crate::substitutes;
use crate::task::{Making, Task};

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
        Self::create_task(slf, coro, name, context, None)
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
        Self::create_task(slf, coro, name, context, others)
    }

    /// Schedules a coroutine as a task; the keywords are the task's own.
    #[cfg(Py_3_14)]
    #[pyo3(signature = (coro, **kwargs))]
    pub(crate) fn create_task<'py>(
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

impl Loop {
    /// A task with a name and a context; `others` are keywords of its own.
    ///
    /// # Errors
    /// Those of the task's class, and of the factory.
    #[cfg(not(Py_3_14))]
    pub(crate) fn create_task<'py>(
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

    fn task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
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

fn unexpected(function: &str, keyword: &str) -> PyErr {
    let message = format!("{function}() got an unexpected keyword argument '{keyword}'");
    fresh::error::<PyTypeError>(message)
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

#[cfg(not(Py_3_14))]
fn copied<'py>(
    py: Python<'py>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    keywords.map_or_else(|| fresh::dict(py), PyDictMethods::copy)
}
