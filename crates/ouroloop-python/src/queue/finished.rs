//! `_finished`: the event for which `join` waits.
//!
//! The event object is made when it is needed first, by a `join` that has to wait or by Python
//! code that asks for it. Until then, and while it is known to the queue alone, `raised` tells
//! whether it is set, and an item more that changes nothing costs nothing.

use crate::interpreter::references::CloneRef as _;
use pyo3::prelude::*;

use super::object::Queue;

/// `_finished.set()`.
pub(super) fn set(slf: &Bound<'_, Queue>) -> PyResult<()> {
    let py = slf.py();
    match slf.get().state.with(py, |state| state.finished.note(py, true)) {
        Some(event) => event.call_method0(py, intern!(py, "set")).map(drop),
        None => Ok(()),
    }
}

/// Counts an item that was put: `_unfinished_tasks += 1` and `_finished.clear()`.
#[inline]
pub(super) fn count(slf: &Bound<'_, Queue>) -> PyResult<()> {
    let py = slf.py();
    let event = slf.get().state.with(py, |state| {
        state.unfinished += 1;
        state.finished.note(py, false)
    });
    match event {
        Some(event) => event.call_method0(py, intern!(py, "clear")).map(drop),
        None => Ok(()),
    }
}

/// The event, for `join`, which keeps it to itself.
pub(super) fn event<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let state = &slf.get().state;
    let known = || state.with(py, |state| state.finished.event.clone_ref(py));
    if let Some(event) = known() {
        return Ok(event.into_bound(py));
    }
    // Looked up here and now, because `install` puts the native class there.
    let event = py.import(intern!(py, "asyncio.locks"))?.getattr(intern!(py, "Event"))?.call0()?;
    if state.with(py, |state| state.finished.raised) {
        event.call_method0(intern!(py, "set"))?;
    }
    if let Some(event) = known() {
        return Ok(event.into_bound(py));
    }
    let reference = event.clone().unbind();
    drop(state.with(py, |state| state.finished.event.replace(reference)));
    Ok(event)
}

/// The event, for Python code.
pub(super) fn show<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let event = event(slf)?;
    slf.get().state.with(slf.py(), |state| state.finished.shown = true);
    Ok(event)
}

/// Another event, from Python code.
pub(super) fn replace(slf: &Bound<'_, Queue>, event: Py<PyAny>) {
    drop(slf.get().state.with(slf.py(), |state| {
        state.finished.shown = true;
        state.finished.event.replace(event)
    }));
}
