//! The future by which something waits on whatever loop runs: ours, or any other.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::coroutine::{Incoming, iterator_of, left_by, step_into};
use crate::future::iter::await_step;
use crate::future::{Future, Outcome, is_cancelled, is_done};
use crate::interpreter::fresh;
use crate::interpreter::references::DropRef as _;
use crate::native::slots::Resumed;
use crate::standard::Standard;
use crate::turn::Loop;

/// The loop that runs in this thread.
///
/// # Errors
/// `RuntimeError` when none does.
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let running = Standard::get(py)?.get_running_loop.bind(py).call0()?;
    if running.is_none() {
        return Err(fresh::error::<PyRuntimeError>("no running event loop"));
    }
    Ok(running)
}

/// A future of any kind, with a direct way for native ones.
#[derive(Debug)]
pub(crate) struct Waiter(Py<PyAny>);

impl Waiter {
    /// A new future of `event_loop`.
    ///
    /// # Errors
    /// What a foreign loop's `create_future` raises.
    pub(crate) fn create(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(native) = event_loop.cast::<Loop>() {
            return Self::of_native(native);
        }
        let future = event_loop.call_method0(intern!(event_loop.py(), "create_future"))?;
        Ok(Self(future.unbind()))
    }

    /// A new future of a native loop.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn of_native(event_loop: &Bound<'_, Loop>) -> PyResult<Self> {
        Ok(Self(Future::create(event_loop)?.into_any().unbind()))
    }

    /// A future that somebody else has made.
    pub(crate) fn of(future: Bound<'_, PyAny>) -> Self {
        Self(future.unbind())
    }

    pub(crate) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.0.bind(py)
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }

    /// The future itself.
    pub(crate) fn into_object(self) -> Py<PyAny> {
        self.0
    }

    /// Ends this reference to it.
    #[inline]
    pub(crate) fn release(self, py: Python<'_>) {
        self.0.drop_ref(py);
    }

    /// Whether both are the same object.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }

    /// `future.done()`.
    pub(crate) fn is_done(&self, py: Python<'_>) -> PyResult<bool> {
        is_done(self.bind(py))
    }

    /// `future.cancelled()`.
    pub(crate) fn is_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        is_cancelled(self.bind(py))
    }

    /// `future.set_result(value)`.
    ///
    /// # Errors
    /// `InvalidStateError` if it has ended before.
    pub(crate) fn set_result(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        match self.bind(py).cast_exact::<Future>() {
            Ok(future) => Future::finish(future, Outcome::Result(value)),
            Err(_) => self.bind(py).call_method1(intern!(py, "set_result"), (value,)).map(drop),
        }
    }

    /// `future.set_exception(error)`.
    ///
    /// # Errors
    /// `InvalidStateError` if it has ended before, `TypeError` for anything but an exception.
    pub(crate) fn set_exception(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = error.py();
        match self.bind(py).cast_exact::<Future>() {
            Ok(future) => Future::finish_with_error(future, error),
            Err(_) => self.bind(py).call_method1(intern!(py, "set_exception"), (error,)).map(drop),
        }
    }

    /// `future.cancel()`.
    pub(crate) fn cancel(&self, py: Python<'_>) -> PyResult<bool> {
        match self.bind(py).cast_exact::<Future>() {
            Ok(future) => Future::cancel(future, None),
            Err(_) => self.bind(py).call_method0(intern!(py, "cancel"))?.is_truthy(),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// `await` of a waiter's future, for bodies that are state machines.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) waiter: Waiter,
    /// What a foreign future is stepped through, from the first step on.
    iterator: Option<Py<PyAny>>,
}

impl Waiting {
    pub(crate) fn new(waiter: Waiter) -> Self {
        Self { waiter, iterator: None }
    }

    /// Ends its references.
    #[inline]
    pub(crate) fn release(self, py: Python<'_>) {
        self.waiter.release(py);
        self.iterator.drop_ref(py);
    }

    /// A step of the wait; the first one brings `None`.
    #[inline]
    pub(crate) fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let future = self.waiter.bind(py);
        if let Ok(native) = future.cast_exact::<Future>() {
            return match incoming {
                Ok(_) => await_step(native),
                Err(error) => left_by(py, error),
            };
        }
        if self.iterator.is_none() {
            match iterator_of(future) {
                Ok(iterator) => self.iterator = Some(iterator.unbind()),
                Err(error) => return Resumed::Raised(error),
            }
        }
        match &self.iterator {
            Some(iterator) => step_into(iterator.bind(py), incoming),
            None => Resumed::Returned(py.None()),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.waiter.visit(visit)?;
        visit.call(&self.iterator)
    }
}
