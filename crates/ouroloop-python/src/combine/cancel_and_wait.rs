//! Waiting for a future's end beside the future itself, so that a cancellation of the one who waits
//! does not reach it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::timeout::timeout_from;
use crate::coroutine::Scope;
use crate::future::listen::{DoneListener, Listen, has_ear};
use crate::future::{Future, Link, cancel_awaited, exactly_native, is_done};
use crate::interpreter::fresh;
use crate::native::cell::AttachedCell;
use crate::standard::Standard;
use crate::waiting::{Waiter, running_loop};

/// Ends a waiter when the future that it stands for ends.
#[pyclass(frozen, module = "ouroloop")]
#[derive(Debug)]
pub(super) struct Release {
    waiter: AttachedCell<Option<Py<PyAny>>>,
}

made_at_the_start!(Release);

impl Listen for Release {
    has_ear!(Release);

    fn hear(slf: &Bound<'_, Self>, _future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let Some(waiter) = slf.get().waiter.fetch(py) else { return Ok(()) };
        let waiter = Waiter::of(waiter.into_bound(py));
        if waiter.is_done(py)? { Ok(()) } else { waiter.set_result(py, py.None()) }
    }

    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        partial(slf.get().waiter.fetch(slf.py()).into_pyobject(slf.py())?.as_any())
    }

    /// Whoever awaits the waiter.
    #[cfg(Py_3_14)]
    fn awaiter<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let py = slf.py();
        let waiter = slf.get().waiter.fetch(py)?;
        exactly_native(waiter.bind(py))?.get().awaiting_task(py)
    }
}

/// asyncio's callback for the same purpose.
fn partial<'py>(waiter: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let standard = Standard::get(waiter.py())?;
    standard.partial.bind(waiter.py()).call1((&standard.release_waiter, waiter))
}

#[pymethods]
impl Release {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe { self.waiter.traverse(|waiter| visit.call(waiter)) }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.waiter.take(unsafe { Python::assume_attached() }));
    }
}

/// Has `waiter` released when `future` ends; answers what [`unwatch`] takes.
pub(super) fn watch<'py>(
    future: &Bound<'py, PyAny>,
    waiter: &Waiter,
) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    if let Some(native) = exactly_native(future) {
        let waiter = waiter.bind(py).clone().unbind();
        let release = Bound::new(py, Release { waiter: AttachedCell::new(Some(waiter)) })?;
        Future::add_link(native, Link::Listener(DoneListener::new(&release)))?;
        return Ok(release.into_any());
    }
    let callback = partial(waiter.bind(py))?;
    future.call_method1(intern!(py, "add_done_callback"), (&callback,))?;
    #[cfg(Py_3_14)]
    if let Some(task) = super::child::awaiting_task(py, None)? {
        Standard::get(py)?.add_to_awaited_by.record(future, task.bind(py))?;
    }
    Ok(callback)
}

/// Undoes [`watch`].
pub(super) fn unwatch(future: &Bound<'_, PyAny>, watch: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    if let (Some(native), Ok(release)) = (exactly_native(future), watch.cast_exact::<Release>()) {
        native.get().remove_listener(py, &DoneListener::new(release));
        return Ok(());
    }
    // A coroutine that is closed when no loop runs leaves nobody waiting.
    #[cfg(Py_3_14)]
    if let Ok(Some(task)) = super::child::awaiting_task(py, None) {
        Standard::get(py)?.discard_from_awaited_by.record(future, task.bind(py))?;
    }
    future.call_method1(intern!(py, "remove_done_callback"), (watch,)).map(drop)
}

/// Cancels a future and waits until it has ended, whatever it does about that.
///
/// # Errors
/// The exception by which the wait itself is interrupted.
pub(super) async fn cancel_and_wait(scope: &Scope, future: Py<PyAny>) -> PyResult<()> {
    let (future, watched, waiter) = Python::attach(|py| {
        let future = future.bind(py);
        let waiter = Waiter::create(&running_loop(py)?)?;
        let watched = watch(future, &waiter)?;
        if let Err(error) = cancel(future) {
            unwatch(future, &watched)?;
            return Err(error);
        }
        let kept = (scope.keep(future), scope.keep(&watched));
        Ok((kept.0, kept.1, waiter.bind(py).clone().unbind()))
    })?;
    let answer = scope.wait(waiter).await;
    Python::attach(|py| {
        unwatch(&scope.get(py, future), &scope.get(py, watched))?;
        drop((scope.let_go(py, future), scope.let_go(py, watched)));
        answer.map(drop)
    })
}

fn cancel(future: &Bound<'_, PyAny>) -> PyResult<()> {
    if exactly_native(future).is_some() {
        return cancel_awaited(future, None).map(drop);
    }
    future.call_method0(intern!(future.py(), "cancel")).map(drop)
}

/// `future.result()`.
pub(super) fn result_of(future: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    match exactly_native(future) {
        Some(native) => Future::result(native),
        None => future.call_method0(intern!(future.py(), "result")).map(Bound::unbind),
    }
}

/// `future.result()`, with a cancellation as the time-out that has caused it.
pub(super) fn result_in_time(future: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    let error = match result_of(future) {
        Ok(result) => return Ok(result),
        Err(error) => error,
    };
    if !error.matches(py, Standard::get(py)?.cancelled_error.bind(py))? {
        return Err(error);
    }
    let exception = crate::standard::exception_of(py, &error);
    Err(timeout_from(py, Some(exception.as_any())))
}

/// What `wait_for` does when there is no time to wait: a result that is there counts.
pub(super) async fn without_time(scope: Scope, awaitable: Py<PyAny>) -> PyResult<Py<PyAny>> {
    let (future, done) = Python::attach(|py| {
        let future = ensure_future(awaitable.bind(py))?;
        let done = is_done(&future)?;
        Ok::<_, PyErr>((scope.keep(&future), done))
    })?;
    if !done {
        let reference = Python::attach(|py| scope.get(py, future).unbind());
        cancel_and_wait(&scope, reference).await?;
    }
    Python::attach(|py| {
        let future = scope.get(py, future);
        if done { result_of(&future) } else { result_in_time(&future) }
    })
}

/// `ensure_future(awaitable)` on the running loop.
pub(super) fn ensure_future<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = awaitable.py();
    if exactly_native(awaitable).is_some() && cfg!(Py_3_12) {
        return Ok(awaitable.clone());
    }
    let ensure_future = Standard::get(py)?.ensure_future.bind(py);
    if cfg!(Py_3_12) {
        return ensure_future.call1((awaitable,));
    }
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "loop"), running_loop(py)?)?;
    ensure_future.call((awaitable,), Some(&keywords))
}
