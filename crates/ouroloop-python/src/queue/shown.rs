//! `_queue`, `_getters` and `_putters`: what Python sees of the containers, which it uses from then on.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;

use super::containers::{Items, Waiters};
use super::object::Queue;
use super::state::{Side, State};
use crate::interpreter::fresh;
use crate::standard::Standard;

/// A new, empty `collections.deque`.
pub(super) fn new_deque(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Standard::get(py)?.deque.bind(py).call0()
}

/// `_getters` or `_putters`, which Python uses directly from now on.
pub(super) fn waiters<'py>(slf: &Bound<'py, Queue>, side: Side) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let state = &slf.get().state;
    let known = |state: &mut State| match state.line(side) {
        Waiters::Own(_) => None,
        Waiters::Foreign(container) => Some(container.clone_ref(py)),
    };
    if let Some(container) = state.with(py, known) {
        return Ok(container.into_bound(py));
    }
    let deque = new_deque(py)?;
    let shown = Waiters::Foreign(deque.clone().unbind());
    if let Waiters::Own(waiters) =
        state.with(py, |state| std::mem::replace(state.line(side), shown))
    {
        for waiter in waiters {
            deque.call_method1(intern!(py, "append"), (waiter.into_object(),))?;
        }
    }
    Ok(deque)
}

/// `_queue`, which Python uses directly from now on.
///
/// # Errors
/// `AttributeError` before `_init` has set it.
pub(super) fn items<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    enum Found {
        Unset,
        Own,
        Known(Py<PyAny>),
    }
    let py = slf.py();
    let state = &slf.get().state;
    match state.with(py, |state| match &state.items {
        Items::Unset => Found::Unset,
        Items::Own(_) => Found::Own,
        Items::List(list) => Found::Known(list.clone_ref(py).into_any()),
        Items::Foreign(container) => Found::Known(container.clone_ref(py)),
    }) {
        Found::Unset => {
            let class = slf.get_type();
            let message =
                fresh::text(format_args!("'{}' object has no attribute '_queue'", class.name()?))?;
            Err(fresh::error::<PyAttributeError>(message))
        }
        Found::Known(container) => Ok(container.into_bound(py)),
        Found::Own => {
            let deque = new_deque(py)?;
            let shown = Items::Foreign(deque.clone().unbind());
            if let Items::Own(items) =
                state.with(py, |state| std::mem::replace(&mut state.items, shown))
            {
                for item in items {
                    deque.call_method1(intern!(py, "append"), (item,))?;
                }
            }
            Ok(deque)
        }
    }
}
