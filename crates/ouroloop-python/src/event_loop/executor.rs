//! The default executor's orderly end.

use pyo3::exceptions::{PyException, PyRuntimeWarning};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Loop;
use crate::coroutine::{Coroutine, Scope, nothing};
use crate::future::Future;
use crate::standard::Standard;

#[pymethods]
impl Loop {
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
            state.default_executor.as_ref().map(|executor| executor.clone_ref(py))
        });
        let Some(executor) = executor else { return Ok(None) };
        let done = Future::create(event_loop)?;
        let keywords = PyDict::new(py);
        keywords.set_item("target", wrap_pyfunction!(join_threads, py)?)?;
        let args = (event_loop, &executor, &done).into_pyobject(py)?;
        keywords.set_item("args", args)?;
        let thread = Standard::get(py)?.thread.bind(py).call((), Some(&keywords))?;
        thread.call_method0(intern!(py, "start"))?;
        Ok(Some((executor, thread.unbind(), done.into_any().unbind())))
    })?;
    let Some((executor, thread, done)) = started else {
        return Ok(nothing());
    };
    let wait = Python::attach(|py| -> PyResult<_> {
        match &timeout {
            Some(timeout) if cfg!(Py_3_13) => {
                let tasks = py.import(intern!(py, "asyncio.tasks"))?;
                Ok(tasks.call_method1(intern!(py, "wait_for"), (&done, timeout))?.unbind())
            }
            _ => Ok(done.clone_ref(py)),
        }
    })?;
    let waited = scope.wait(wait).await;
    Python::attach(|py| {
        let thread = thread.bind(py);
        let still_alive = if cfg!(Py_3_13) {
            // The timeout bounds the wait for the future; past it, the threads are left alone.
            let late = waited
                .as_ref()
                .is_err_and(|error| error.is_instance_of::<pyo3::exceptions::PyTimeoutError>(py));
            if !late {
                waited?;
                thread.call_method0(intern!(py, "join"))?;
            }
            late
        } else {
            // The timeout bounds the joining of the thread.
            thread.call_method1(intern!(py, "join"), (&timeout,))?;
            waited?;
            thread.call_method0(intern!(py, "is_alive"))?.is_truthy()?
        };
        if still_alive {
            give_up(executor.bind(py), timeout.as_ref())?;
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
    let warn = Standard::get(py)?.warn.bind(py);
    warn.call1((message, py.get_type::<PyRuntimeWarning>()))?;
    let keywords = PyDict::new(py);
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
    let keywords = PyDict::new(py);
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
