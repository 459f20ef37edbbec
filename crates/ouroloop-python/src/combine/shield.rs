//! `shield`: a future that can be cancelled in place of another.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::child::{self, Ending};
use super::ensure::Ensure;
use crate::future::listen::{Closure, DoneListener, Listen, has_ear};
use crate::future::{is_cancelled, is_done};
use crate::native::cell::AttachedCell;
use crate::standard::Standard;
use crate::waiting::Waiter;

/// What ties the two futures together: it hears of the end of both.
#[pyclass(frozen, name = "_Shield", module = "ouroloop")]
#[derive(Debug)]
struct Shield {
    /// The shielded future and the one that stands before it; none once it was cleared.
    pair: AttachedCell<Option<(Py<PyAny>, Py<PyAny>)>>,
    /// The task that called `shield`.
    #[cfg(Py_3_14)]
    awaiter: AttachedCell<Option<Py<PyAny>>>,
}

made_at_the_start!(Shield);

impl Shield {
    fn inner_ended(inner: &Bound<'_, PyAny>, outer: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = inner.py();
        if is_cancelled(outer)? {
            // Where its exception is not logged, it counts as looked at.
            if Standard::get(py)?.log_on_exception.is_none() {
                child::ending(inner)?;
            }
            return Ok(());
        }
        let ending = child::ending(inner)?;
        if let Ending::Cancelled = ending {
            return Waiter::of(outer.clone()).cancel(py).map(drop);
        }
        child::finish(outer, ending)
    }

    fn outer_ended(slf: &Bound<'_, Self>, inner: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if is_done(inner)? {
            return Ok(());
        }
        child::stop_listening(inner, &DoneListener::new(slf))?;
        if let Some(log) = &Standard::get(py)?.log_on_exception {
            // One report is enough, however many shields the future had.
            inner.call_method1(intern!(py, "remove_done_callback"), (log,))?;
            inner.call_method1(intern!(py, "add_done_callback"), (log,))?;
        }
        Ok(())
    }
}

impl Listen for Shield {
    has_ear!(Shield);

    fn hear(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let pair = slf.get().pair.with(py, |pair| {
            pair.as_ref().map(|(inner, outer)| (inner.clone_ref(py), outer.clone_ref(py)))
        });
        match pair {
            Some((inner, outer)) if future.is(&inner) => Self::inner_ended(future, outer.bind(py)),
            Some((inner, _)) => Self::outer_ended(slf, inner.bind(py)),
            None => Ok(()),
        }
    }

    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Closure::of(slf, "shield.<locals>._inner_done_callback", child::no_longer_awaited)
    }

    #[cfg(Py_3_14)]
    fn awaiter<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().awaiter.fetch(slf.py()).map(|task| task.into_bound(slf.py()))
    }
}

#[pymethods]
impl Shield {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            #[cfg(Py_3_14)]
            self.awaiter.traverse(|task| visit.call(task))?;
            self.pair.traverse(|pair| match pair {
                Some((inner, outer)) => {
                    visit.call(inner)?;
                    visit.call(outer)
                }
                None => Ok(()),
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.pair.replace(py, None));
        #[cfg(Py_3_14)]
        drop(self.awaiter.take(py));
    }
}

/// Wait for an awaitable that goes on if the wait is cancelled.
///
/// The returned future ends as the awaitable does. To cancel it, or the task that awaits it, leaves the
/// awaitable alone. Keep a reference to the inner task: the loop itself does not.
#[pyfunction]
#[pyo3(signature = (arg))]
fn shield<'py>(arg: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = arg.py();
    let inner = Ensure::on(None).future_of(arg)?;
    if is_done(&inner)? {
        return Ok(inner);
    }
    let event_loop = child::loop_of(&inner)?;
    let outer = Waiter::create(&event_loop)?.bind(py).clone();
    #[cfg(Py_3_14)]
    let awaiter = child::awaiting_task(py, Some(&event_loop))?;
    let shield = Bound::new(
        py,
        Shield {
            pair: AttachedCell::new(Some((inner.clone().unbind(), outer.clone().unbind()))),
            #[cfg(Py_3_14)]
            awaiter: AttachedCell::new(awaiter),
        },
    )?;
    child::listen(&inner, DoneListener::new(&shield))?;
    // By the public way: to the outer future the calling task is no waiter yet.
    let callable = Shield::callable(&shield)?;
    outer.call_method1(intern!(py, "add_done_callback"), (callable,))?;
    Ok(outer)
}

pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(shield, module)?)
}
