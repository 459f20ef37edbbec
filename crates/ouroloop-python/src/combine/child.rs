//! Futures of any kind as those see them who wait for several: natively where they are ours, by
//! the public protocol otherwise.

use pyo3::prelude::*;

use crate::future::exactly_native;
use crate::future::listen::DoneListener;
use crate::future::{Future, FuturePhase, Link, Outcome};
#[cfg(Py_3_14)]
use crate::standard::Standard;
#[cfg(Py_3_14)]
use crate::task::registry;
#[cfg(Py_3_14)]
use crate::waiting::running_loop;

/// How a future that is done has ended.
#[derive(Debug)]
pub(super) enum Ending {
    Cancelled,
    Failed(Py<PyAny>),
    Succeeded(Py<PyAny>),
}

/// How a future has ended; its exception counts as looked at from here on.
///
/// # Errors
/// What a foreign future raises.
pub(super) fn ending(future: &Bound<'_, PyAny>) -> PyResult<Ending> {
    let py = future.py();
    if let Some(native) = exactly_native(future) {
        return Ok(native.get().state.with(py, |state| {
            if state.phase == FuturePhase::Cancelled {
                return Ending::Cancelled;
            }
            state.log_traceback = false;
            match (&state.exception, &state.result) {
                (Some(exception), _) => Ending::Failed(exception.clone_ref(py)),
                (None, Some(result)) => Ending::Succeeded(result.clone_ref(py)),
                (None, None) => Ending::Succeeded(py.None()),
            }
        }));
    }
    if future.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(Ending::Cancelled);
    }
    let exception = future.call_method0(intern!(py, "exception"))?;
    if !exception.is_none() {
        return Ok(Ending::Failed(exception.unbind()));
    }
    Ok(Ending::Succeeded(future.call_method0(intern!(py, "result"))?.unbind()))
}

/// `future._make_cancelled_error()`.
pub(super) fn cancelled_error<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    match exactly_native(future) {
        Some(native) => {
            Ok(Future::cancelled_error(native)?.into_value(py).into_bound(py).into_any())
        }
        None => future.call_method0(intern!(py, "_make_cancelled_error")),
    }
}

/// Has `listener` told once the future has ended, which may be the next turn.
pub(super) fn listen(future: &Bound<'_, PyAny>, listener: DoneListener) -> PyResult<()> {
    let py = future.py();
    if let Some(native) = exactly_native(future) {
        return Future::add_link(native, Link::Listener(listener));
    }
    let callable = listener.callable(py)?;
    future.call_method1(intern!(py, "add_done_callback"), (callable,))?;
    #[cfg(Py_3_14)]
    if let Some(awaiter) = listener.awaiter(py) {
        Standard::get(py)?.add_to_awaited_by.record(future, &awaiter)?;
    }
    Ok(())
}

/// Takes back what [`listen`] did, if the future has not ended.
pub(super) fn stop_listening(future: &Bound<'_, PyAny>, listener: &DoneListener) -> PyResult<()> {
    let py = future.py();
    if let Some(native) = exactly_native(future) {
        let gone = native.get().state.with(py, |state| state.links.take_listener(listener));
        drop(gone);
        return Ok(());
    }
    let callable = listener.callable(py)?;
    future.call_method1(intern!(py, "remove_done_callback"), (callable,))?;
    no_longer_awaited(future, listener)
}

/// Takes the waiter's name off a future that is not native; a native one has it by its link alone.
#[cfg_attr(
    not(Py_3_14),
    expect(clippy::unnecessary_wraps, reason = "there is nothing to do before 3.14")
)]
pub(super) fn no_longer_awaited(
    future: &Bound<'_, PyAny>,
    listener: &DoneListener,
) -> PyResult<()> {
    #[cfg(Py_3_14)]
    if exactly_native(future).is_none()
        && let Some(awaiter) = listener.awaiter(future.py())
    {
        Standard::get(future.py())?.discard_from_awaited_by.record(future, &awaiter)?;
    }
    #[cfg(not(Py_3_14))]
    let _ = (future, listener);
    Ok(())
}

/// Ends `future` as another has ended.
///
/// # Errors
/// `InvalidStateError` if it has ended before.
pub(super) fn finish(future: &Bound<'_, PyAny>, ending: Ending) -> PyResult<()> {
    let py = future.py();
    let Ok(native) = future.cast_exact::<Future>() else {
        return match ending {
            Ending::Cancelled => future.call_method0(intern!(py, "cancel")),
            Ending::Failed(error) => future.call_method1(intern!(py, "set_exception"), (error,)),
            Ending::Succeeded(result) => future.call_method1(intern!(py, "set_result"), (result,)),
        }
        .map(drop);
    };
    match ending {
        Ending::Cancelled => Future::cancel(native, None).map(drop),
        Ending::Failed(error) => Future::finish_with_error(native, error.bind(py)),
        Ending::Succeeded(result) => Future::finish(native, Outcome::Result(result)),
    }
}

/// The loop of a future of any kind.
///
/// # Errors
/// `AttributeError` for what has no loop.
pub(super) fn loop_of<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    if let Some(native) = exactly_native(future) {
        return native.get().event_loop(py);
    }
    match future.getattr_opt(intern!(py, "get_loop"))? {
        Some(get_loop) => get_loop.call0(),
        None => future.getattr(intern!(py, "_loop")),
    }
}

/// The task that runs now, as the one by whom others will be awaited: `asyncio.capture_call_graph`
/// asks for it from Python 3.14 on.
///
/// # Errors
/// `RuntimeError` when no loop runs and none is given.
#[cfg(Py_3_14)]
pub(super) fn awaiting_task<'py>(
    py: Python<'py>,
    event_loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Py<PyAny>>> {
    let task = match event_loop {
        Some(event_loop) => registry::current(event_loop)?,
        None => registry::current(&running_loop(py)?)?,
    };
    Ok(task.map(Bound::unbind))
}
