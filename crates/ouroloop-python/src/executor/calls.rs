//! Calls that a loop has its default executor make.

use ouroloop::blocking::Submitted;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::default::{DefaultExecutor, Offered};
use super::job::{Call, Job};
use crate::future::Future;
use crate::interpreter::fresh;
use crate::interpreter::once::Once as _;
use crate::native::method::function_of;
use crate::turn::Loop;

impl Loop {
    /// The default executor, made if there is none.
    pub(crate) fn default_executor(slf: &Bound<'_, Self>) -> PyResult<DefaultExecutor> {
        let py = slf.py();
        let (shut_down, executor) = slf.get().state.with(py, |state| {
            let executor = state.default_executor.as_ref();
            let executor = executor.map(|executor| DefaultExecutor::kept(py, executor));
            (state.executor_shut_down, executor)
        });
        if shut_down {
            return Err(fresh::error::<PyRuntimeError>("Executor shutdown has been called"));
        }
        if let Some(executor) = executor
            && !executor.is_inherited()
        {
            return Ok(executor);
        }
        let executor = DefaultExecutor::new(py)?;
        let kept = executor.keep();
        let executor = DefaultExecutor::kept(py, &kept);
        drop(slf.get().state.with(py, |state| state.default_executor.replace(kept)));
        Ok(executor)
    }

    /// Has `call` made by a thread of the default executor; `None` where only the executor itself
    /// can say what becomes of it.
    ///
    /// # Errors
    /// `RuntimeError` once the default executor is shut down; those of starting a thread.
    pub(crate) fn call_in_thread<'py>(
        slf: &Bound<'py, Self>,
        call: Call,
    ) -> PyResult<Option<Bound<'py, Future>>> {
        slf.get().check_closed(slf.py())?;
        let executor = Self::default_executor(slf)?;
        Self::call_by(slf, &executor, call)
    }

    pub(crate) fn call_by<'py>(
        slf: &Bound<'py, Self>,
        executor: &DefaultExecutor,
        call: Call,
    ) -> PyResult<Option<Bound<'py, Future>>> {
        let py = slf.py();
        let Some(pool) = executor.pool() else { return Ok(None) };
        let future = Future::create(slf)?;
        let job = Job::Call(call, future.clone().unbind());
        // The loop's own thread wakes a worker when it lets go of the interpreter.
        match executor.offer(py, pool, job, slf.get().runs_here(py))? {
            Offered::Refused => Ok(None),
            Offered::Taken(submitted) => {
                if submitted == Submitted::Owed {
                    drop(slf.get().owed_call.replace(py, executor.bell().cloned()));
                }
                Ok(Some(future))
            }
        }
    }

    /// Whether the loop's `run_in_executor` is the native one.
    pub(crate) fn calls_natively(slf: &Bound<'_, Self>) -> PyResult<bool> {
        static OURS: PyOnceLock<usize> = PyOnceLock::new();
        let py = slf.py();
        let ours = OURS.find(py, || -> PyResult<usize> {
            let method = py.get_type::<Self>().getattr(intern!(py, "run_in_executor"))?;
            Ok(function_of(&method.call_method1(intern!(py, "__get__"), (slf,))?))
        })?;
        Ok(*ours != 0 && function_of(&slf.getattr(intern!(py, "run_in_executor"))?) == *ours)
    }
}
