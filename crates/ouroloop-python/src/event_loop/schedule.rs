//! Scheduling callbacks: `call_soon`, `call_later`, `call_at`, `call_soon_threadsafe`, `time`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use ouroloop::clock::{as_seconds, from_seconds};

use super::{Loop, debug};
use crate::callback::Callback;
use crate::context::copy_current;
use crate::handle::{Handle, TimerHandle, When};

#[pymethods]
impl Loop {
    /// Seconds of the monotonic clock.
    #[pyo3(name = "time")]
    fn py_time(&self, py: Python<'_>) -> f64 {
        self.time(py)
    }

    /// Calls `callback(*args)` in the next turn.
    #[pyo3(signature = (callback, *args, context=None))]
    fn call_soon<'py>(
        slf: &Bound<'py, Self>,
        callback: Py<PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        slf.get().check_schedulable(py)?;
        if slf.get().is_debug(py) {
            debug::check_callback(callback.bind(py), "call_soon")?;
        }
        Self::queue(slf, callback, args, context)
    }

    /// `call_soon` for other threads and for signal handlers.
    #[pyo3(signature = (callback, *args, context=None))]
    fn call_soon_threadsafe<'py>(
        slf: &Bound<'py, Self>,
        callback: Py<PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        slf.get().check_closed(py)?;
        if slf.get().is_debug(py) {
            debug::check_callback(callback.bind(py), "call_soon_threadsafe")?;
        }
        let handle = Self::make_handle(slf, callback, args, context)?;
        #[cfg(Py_3_14)]
        handle.get().guard(py);
        slf.get().push(py, Callback::Call(handle.clone().unbind()));
        slf.get().wake();
        Ok(handle)
    }

    /// Calls `callback(*args)` once `delay` seconds have passed.
    #[pyo3(signature = (delay, callback, *args, context=None))]
    fn call_later<'py>(
        slf: &Bound<'py, Self>,
        delay: Option<&Bound<'py, PyAny>>,
        callback: Py<PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, TimerHandle>> {
        let Some(delay) = delay else {
            return Err(PyTypeError::new_err("delay must not be None"));
        };
        let when = slf.get().time(slf.py()) + delay.extract::<f64>()?;
        Self::queue_at(slf, When::Seconds(when), callback, args, context)
    }

    /// Calls `callback(*args)` once `time()` has reached `when`.
    #[pyo3(signature = (when, callback, *args, context=None))]
    fn call_at<'py>(
        slf: &Bound<'py, Self>,
        when: Option<&Bound<'py, PyAny>>,
        callback: Py<PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, TimerHandle>> {
        let Some(when) = when else {
            return Err(PyTypeError::new_err("when cannot be None"));
        };
        Self::queue_at(slf, When::Given(when), callback, args, context)
    }
}

impl Loop {
    pub(crate) fn time(&self, py: Python<'_>) -> f64 {
        as_seconds(self.engine.with(py, |engine| engine.now()))
    }

    /// Queues a handle for the next turn.
    pub(super) fn queue<'py>(
        slf: &Bound<'py, Self>,
        callback: Py<PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let handle = Self::make_handle(slf, callback, args, context)?;
        slf.get().push(slf.py(), Callback::Call(handle.clone().unbind()));
        Ok(handle)
    }

    /// A handle that is not scheduled yet.
    pub(super) fn make_handle<'py>(
        slf: &Bound<'py, Self>,
        callback: Py<PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let context = match context {
            Some(context) => context,
            None => copy_current(py)?,
        };
        let args = args.clone().into_any().unbind();
        let handle = Handle::create(slf, callback, args, context)?;
        if slf.get().is_debug(py) {
            handle.get().remember_source(py)?;
        }
        Ok(handle)
    }

    fn queue_at<'py>(
        slf: &Bound<'py, Self>,
        when: When<'_, 'py>,
        callback: Py<PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, TimerHandle>> {
        let py = slf.py();
        slf.get().check_schedulable(py)?;
        let debug = slf.get().is_debug(py);
        if debug {
            // `call_later` is `call_at` in other words, for asyncio too.
            debug::check_callback(callback.bind(py), "call_at")?;
        }
        let context = match context {
            Some(context) => context,
            None => copy_current(py)?,
        };
        let args = args.clone().into_any().unbind();
        let timer = TimerHandle::create(slf, when, callback, args, context)?;
        if debug {
            timer.as_super().get().remember_source(py)?;
        }
        let callback = Callback::Call(timer.as_super().clone().unbind());
        let deadline = from_seconds(timer.get().seconds(py));
        let id = slf.get().engine.with(py, |engine| engine.schedule(deadline, callback));
        timer.get().scheduled_as(py, id);
        Ok(timer)
    }
}
