//! Functions called in other threads: `run_in_executor`, the default executor and its orderly end.

use pyo3::exceptions::{PyException, PyRuntimeWarning, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{Loop, debug};
use crate::combine::wrap_future;
use crate::coroutine::{Coroutine, Scope, nothing};
use crate::executor::{Call, DefaultExecutor};
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::standard::{Standard, warner};
use crate::turn::Bell;

#[pymethods]
impl Loop {
    /// Runs `func(*args)` in an executor, the default one for `None`.
    #[pyo3(signature = (executor, func, *args))]
    fn run_in_executor<'py>(
        slf: &Bound<'py, Self>,
        executor: Option<Bound<'py, PyAny>>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check_closed(py)?;
        if slf.get().is_debug(py) {
            debug::check_callback(func, "run_in_executor")?;
        }
        let executor = if let Some(executor) = executor {
            executor
        } else {
            let executor = Self::default_executor(slf)?;
            let call = Call {
                function: func.clone().unbind(),
                arguments: args.clone().unbind(),
                keywords: None,
                context: None,
            };
            if let Some(future) = Self::call_by(slf, &executor, call)? {
                return Ok(future.into_any());
            }
            executor.into_object().into_bound(py)
        };
        let _level = Level::enter(py)?;
        let all: Vec<_> = std::iter::once(func.clone()).chain(args.iter()).collect();
        let all = fresh::tuple(py, all)?;
        let submitted = executor.call_method1(intern!(py, "submit"), all)?;
        wrap_future(&submitted, Some(slf.clone().into_any()))
    }

    /// Makes a `ThreadPoolExecutor` the one that `run_in_executor(None, …)` uses.
    fn set_default_executor(&self, executor: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = executor.py();
        if !executor.is_instance(Standard::get(py)?.thread_pool_executor.bind(py))? {
            return Err(fresh::error::<PyTypeError>(
                "executor must be ThreadPoolExecutor instance",
            ));
        }
        self.replace_default_executor(py, Some(executor.clone().unbind()));
        Ok(())
    }

    /// The default executor, if there is one yet.
    #[getter(_default_executor)]
    fn private_default_executor(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| {
            state.default_executor.as_ref().map(|executor| executor.object.clone_ref(py))
        })
    }

    #[setter(_default_executor)]
    fn set_private_default_executor(&self, py: Python<'_>, executor: Option<Py<PyAny>>) {
        self.replace_default_executor(py, executor);
    }

    /// Whether `run_in_executor(None, …)` is refused.
    #[getter(_executor_shutdown_called)]
    fn is_executor_shut_down(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.executor_shut_down)
    }

    #[setter(_executor_shutdown_called)]
    fn set_executor_shut_down(&self, py: Python<'_>, shut_down: bool) {
        self.state.with(py, |state| state.executor_shut_down = shut_down);
    }

    /// Waits for the default executor's threads.
    #[cfg(not(Py_3_12))]
    fn shutdown_default_executor<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Self::shut_executor_down(slf, None)
    }

    /// Waits for the default executor's threads, at most `timeout` seconds unless `None`.
    #[cfg(Py_3_12)]
    #[pyo3(signature = (timeout=None))]
    fn shutdown_default_executor<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Self::shut_executor_down(slf, timeout)
    }
}

impl Loop {
    fn replace_default_executor(&self, py: Python<'_>, executor: Option<Py<PyAny>>) {
        let executor = executor.map(|object| DefaultExecutor::given(object).keep());
        drop(self.state.with(py, |state| std::mem::replace(&mut state.default_executor, executor)));
    }

    /// By which a worker is to be called for what this turn has submitted.
    #[inline]
    pub(super) fn owed_call(&self, py: Python<'_>) -> Option<Bell> {
        self.owed_call.replace(py, None)
    }

    fn shut_executor_down<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        Coroutine::new(slf.py(), "Loop.shutdown_default_executor", |scope| {
            wait_for_threads(scope, event_loop, timeout)
        })
    }
}

/// Joins the executor's threads in a thread of its own, so that the loop goes on.
async fn wait_for_threads(
    scope: Scope,
    event_loop: Py<Loop>,
    timeout: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let started = Python::attach(|py| -> PyResult<_> {
        let event_loop = event_loop.bind(py);
        let executor = event_loop.get().state.with(py, |state| {
            state.executor_shut_down = true;
            state.default_executor.as_ref().map(|executor| executor.object.clone_ref(py))
        });
        let Some(executor) = executor else { return Ok(None) };
        let done = Future::create(event_loop)?;
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "target"), wrap_pyfunction!(join_threads, py)?)?;
        let args = fresh::pack!(py, event_loop, &executor, &done);
        keywords.set_item(intern!(py, "args"), args)?;
        let thread = Standard::get(py)?.thread.bind(py).call((), Some(&keywords))?;
        thread.call_method0(intern!(py, "start"))?;
        Ok(Some((executor, thread.unbind(), done.into_any().unbind())))
    })?;
    let Some((executor, thread, done)) = started else {
        return Ok(nothing());
    };
    let wait = Python::attach(|py| -> PyResult<_> {
        match &timeout {
            Some(timeout) => {
                let tasks = crate::interpreter::modules::module(py, intern!(py, "asyncio.tasks"))?;
                Ok(tasks.call_method1(intern!(py, "wait_for"), (&done, timeout))?.unbind())
            }
            None => Ok(done.clone_ref(py)),
        }
    })?;
    let waited = scope.wait(wait).await;
    Python::attach(|py| {
        // The timeout bounds the wait for the future; past it, the threads are left alone.
        let late = waited
            .as_ref()
            .is_err_and(|error| error.is_instance_of::<pyo3::exceptions::PyTimeoutError>(py));
        if late {
            give_up(executor.bind(py), timeout.as_ref())?;
        } else {
            waited?;
            thread.bind(py).call_method0(intern!(py, "join"))?;
        }
        Ok(py.None())
    })
}

/// Leaves an executor whose threads did not end in time.
fn give_up(executor: &Bound<'_, PyAny>, timeout: Option<&Py<PyAny>>) -> PyResult<()> {
    let py = executor.py();
    let seconds = timeout.map(|timeout| timeout.bind(py).str()).transpose()?;
    let seconds = seconds.map_or_else(|| String::from("None"), |text| text.to_string());
    let message =
        format!("The executor did not finishing joining its threads within {seconds} seconds.");
    let warn = warner(py)?;
    warn.call1((Text(message), py.get_type::<PyRuntimeWarning>()))?;
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "wait"), false)?;
    executor.call_method(intern!(py, "shutdown"), (), Some(&keywords)).map(drop)
}

/// Runs in the joining thread.
#[pyfunction]
fn join_threads(
    event_loop: &Bound<'_, Loop>,
    executor: &Bound<'_, PyAny>,
    done: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = event_loop.py();
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "wait"), true)?;
    let answer = executor.call_method(intern!(py, "shutdown"), (), Some(&keywords));
    if event_loop.get().check_closed(py).is_err() {
        return answer.map(drop);
    }
    match answer {
        Ok(_) => {
            let set = Standard::get(py)?.set_result_unless_cancelled.bind(py);
            let arguments = (set, done, py.None());
            event_loop.call_method1(intern!(py, "call_soon_threadsafe"), arguments)?;
        }
        Err(error) if error.is_instance_of::<PyException>(py) => {
            let set = done.getattr(intern!(py, "set_exception"))?;
            let arguments = (set, error.into_value(py));
            event_loop.call_method1(intern!(py, "call_soon_threadsafe"), arguments)?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
