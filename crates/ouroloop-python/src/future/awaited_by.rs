//! Who waits for a future, for `asyncio.capture_call_graph` (Python 3.14).
//!
//! Nothing is written down when a native task or combination waits: whoever it is stands among the
//! future's links anyway. Only what a program says by `future_add_to_awaited_by` is kept, in a set
//! of the future's own.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PySet};

use super::links::Link;
use super::object::Future;
use crate::interpreter::fresh::Text;
use crate::standard::Standard;

#[pymethods]
impl Future {
    #[getter(_asyncio_awaited_by)]
    fn awaited_by<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyFrozenSet>>> {
        let waiting = PySet::empty(py)?;
        for link in self.all_links(py)? {
            let awaiter = match link {
                Link::Listener(listener) => listener.awaiter(py),
                Link::Call { callback, .. } => task_behind(callback.bind(py))?,
            };
            awaiter.map_or(Ok(()), |awaiter| waiting.add(awaiter))?;
        }
        if let Some(said) = self.state.with(py, |state| state.rare(py, |rare| &rare.awaited_by)) {
            said.bind(py).cast::<PySet>()?.try_iter()?.try_for_each(|each| waiting.add(each?))?;
        }
        if waiting.is_empty() {
            return Ok(None);
        }
        // SAFETY: attached; the call makes a frozenset of what can be iterated.
        let frozen =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyFrozenSet_New(waiting.as_ptr()))? };
        Ok(Some(frozen.cast_into()?))
    }
}

impl Future {
    /// The task that awaits it, the first one if there are several.
    pub(crate) fn awaiting_task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.all_links(py).ok()?.into_iter().find_map(|link| match link {
            // Who cannot tell what it is, is no task.
            Link::Call { callback, .. } => task_behind(callback.bind(py)).ok().flatten(),
            Link::Listener(listener) => listener.awaiting_task(py),
        })
    }
}

/// The standard task, of C or of Python, whose wake-up a callback is.
fn task_behind<'py>(callback: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = callback.py();
    let standard = Standard::get(py)?;
    // SAFETY: attached; compares the object's type.
    let (class, name) = if unsafe { ffi::PyCFunction_CheckExact(callback.as_ptr()) != 0 } {
        (&standard.task, "task_wakeup")
    } else if callback.get_type().is(&standard.method) {
        (&standard.python_task, "__wakeup")
    } else {
        return Ok(None);
    };
    if callback.getattr(intern!(py, "__name__"))?.ne(Text(name))? {
        return Ok(None);
    }
    let owner = callback.getattr(intern!(py, "__self__"))?;
    Ok(owner.is_instance(class.bind(py))?.then_some(owner))
}

/// Whether an object counts as a future here: as in asyncio, those that only behave like one do not.
fn counts(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.cast::<Future>().is_ok()
        || object.is_instance(Standard::get(object.py())?.future.bind(object.py()))?)
}

/// Record that `waiter` waits for `fut`.
#[pyfunction]
#[pyo3(signature = (fut, waiter, /))]
pub(crate) fn future_add_to_awaited_by(
    fut: &Bound<'_, PyAny>,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = fut.py();
    let Ok(native) = fut.cast::<Future>() else {
        return Standard::get(py)?.add_to_awaited_by.record(fut, waiter);
    };
    if !counts(waiter)? {
        return Ok(());
    }
    let known = native.get().state.with(py, |state| state.rare(py, |rare| &rare.awaited_by));
    if let Some(known) = known {
        return known.bind(py).cast::<PySet>()?.add(waiter);
    }
    let said = PySet::new(py, [waiter])?.into_any().unbind();
    let before = native
        .get()
        .state
        .with(py, |state| state.set_rare(|rare| &mut rare.awaited_by, Some(said)));
    drop(before);
    Ok(())
}

/// Record that `waiter` waits for `fut` no more.
#[pyfunction]
#[pyo3(signature = (fut, waiter, /))]
pub(crate) fn future_discard_from_awaited_by(
    fut: &Bound<'_, PyAny>,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = fut.py();
    let Ok(native) = fut.cast::<Future>() else {
        return Standard::get(py)?.discard_from_awaited_by.record(fut, waiter);
    };
    let known = native.get().state.with(py, |state| state.rare(py, |rare| &rare.awaited_by));
    match known {
        Some(known) => known.bind(py).cast::<PySet>()?.discard(waiter).map(drop),
        None => Ok(()),
    }
}
