//! The end of a loop, and the default executor, which ends with it.

use std::sync::OnceLock;

use pyo3::exceptions::{PyResourceWarning, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{Loop, Phase, debug};
use crate::combine::wrap_future;
use crate::slots::Deallocate;
use crate::standard::Standard;

#[pymethods]
impl Loop {
    /// Drops everything scheduled and shuts the default executor down without waiting.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        match this.state.with(py, |state| state.phase) {
            Phase::Running(_) => {
                return Err(PyRuntimeError::new_err("Cannot close a running event loop"));
            }
            Phase::Closed => return Ok(()),
            Phase::Stopped => {}
        }
        debug::log_debug(this, py, &format!("Close {}", slf.repr()?))?;
        let executor = this.state.with(py, |state| {
            state.phase = Phase::Closed;
            state.executor_shut_down = true;
            state.default_executor.take()
        });
        let signals = Self::close_signals(slf);
        drop(this.engine.with(py, ouroloop::EventLoop::close));
        drop(this.files.with(py, std::mem::take));
        drop(this.scratch.with(py, std::mem::take));
        this.datagrams.set(py, None);
        if let Some(executor) = executor {
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "wait"), false)?;
            executor.bind(py).call_method(intern!(py, "shutdown"), (), Some(&keywords))?;
        }
        signals
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    #[pyo3(name = "is_closed")]
    fn py_is_closed(&self, py: Python<'_>) -> bool {
        self.is_closed(py)
    }

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
        let executor = match executor {
            Some(executor) => executor,
            None => Self::default_executor(slf)?,
        };
        let all: Vec<_> = std::iter::once(func.clone()).chain(args.iter()).collect();
        let all = PyTuple::new(py, all)?;
        let submitted = executor.call_method1(intern!(py, "submit"), all)?;
        wrap_future(&submitted, Some(slf.clone().into_any()))
    }

    /// Makes a `ThreadPoolExecutor` the one that `run_in_executor(None, …)` uses.
    fn set_default_executor(&self, executor: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = executor.py();
        if !executor.is_instance(Standard::get(py)?.thread_pool_executor.bind(py))? {
            return Err(PyTypeError::new_err("executor must be ThreadPoolExecutor instance"));
        }
        let executor = executor.clone().unbind();
        drop(self.state.with(py, |state| state.default_executor.replace(executor)));
        Ok(())
    }
}

impl Loop {
    fn default_executor<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (shut_down, executor) = slf.get().state.with(py, |state| {
            let executor = state.default_executor.as_ref().map(|object| object.clone_ref(py));
            (state.executor_shut_down, executor)
        });
        if shut_down {
            return Err(PyRuntimeError::new_err("Executor shutdown has been called"));
        }
        if let Some(executor) = executor {
            return Ok(executor.into_bound(py));
        }
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "thread_name_prefix"), "asyncio")?;
        let executor =
            Standard::get(py)?.thread_pool_executor.bind(py).call((), Some(&keywords))?;
        let kept = executor.clone().unbind();
        drop(slf.get().state.with(py, |state| state.default_executor.replace(kept)));
        Ok(executor)
    }
}

impl Deallocate for Loop {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.phase != Phase::Closed)
    }

    fn last_words(slf: &Bound<'_, Self>) {
        if let Err(error) = warn_unclosed(slf) {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
        if !slf.get().is_running(slf.py())
            && let Err(error) = slf.call_method0(intern!(slf.py(), "close"))
        {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
    }
}

fn warn_unclosed(event_loop: &Bound<'_, Loop>) -> PyResult<()> {
    let message = format!("unclosed event loop {}", event_loop.repr()?);
    warn_resource(event_loop.as_any(), &message)
}

/// Issues a `ResourceWarning` about `source`.
pub(crate) fn warn_resource(source: &Bound<'_, PyAny>, message: &str) -> PyResult<()> {
    let py = source.py();
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "source"), source)?;
    let category = py.get_type::<PyResourceWarning>();
    Standard::get(py)?.warn.bind(py).call((message, category), Some(&keywords)).map(drop)
}
