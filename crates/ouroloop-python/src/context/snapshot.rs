//! What a context holds at one moment, for a callback that runs later.
//!
//! asyncio copies the context for every callback. Nearly every copy is entered once and dropped, so
//! here a callback keeps only the variables, which the copy would share with the original, and
//! enters a spare context that is given them for that long. Whoever wants to see the context object
//! gets one, which the callback then runs in.

use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::layout::Layout;
use super::{copy_current, run_in};
use crate::native::cell::AttachedCell;
use crate::native::shelf::has_weak_references;

/// A context object, or the variables of one.
#[derive(Debug)]
pub(crate) struct Snapshot(Py<PyAny>);

/// A context that nobody else refers to, and the variables of an empty one.
///
/// The garbage collector does not know the context, so that no program finds it there and enters it
/// while its variables are exchanged. The collector is shown it when it is given away, and when it goes:
/// its deallocation expects that.
struct Spare {
    context: Py<PyAny>,
    empty: Py<PyAny>,
}

static SPARE: AttachedCell<Option<Spare>> = AttachedCell::new(None);

impl Snapshot {
    /// What the current context holds.
    ///
    /// # Errors
    /// Those of copying it.
    #[inline]
    pub(crate) fn current(py: Python<'_>) -> PyResult<Self> {
        match Layout::get(py).and_then(|layout| layout.current(py)) {
            Some(variables) => Ok(Self(variables.unbind())),
            None => copy_current(py).map(Self),
        }
    }

    /// A context in which to run, as it will be then.
    #[inline]
    pub(crate) fn of(context: Py<PyAny>) -> Self {
        Self(context)
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }

    pub(crate) fn drop_ref(self, py: Python<'_>) {
        self.0.drop_ref(py);
    }

    /// The layout, if these are the variables of a context and not a context.
    #[inline]
    fn layout(&self, py: Python<'_>) -> Option<Layout> {
        Layout::get(py).filter(|layout| layout.are_variables(&self.0))
    }

    /// The context object: made now if there is none yet.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn into_context(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.layout(py) {
            None => Ok(self.0),
            Some(layout) => {
                let context = new_context(py)?;
                drop(layout.exchange(&context, self.0));
                Ok(context.unbind())
            }
        }
    }

    /// Runs `body` in it, as `context.run(body)` would. With an error comes the context in which it
    /// came up.
    ///
    /// # Errors
    /// Those of `body`; `RuntimeError` for a context that is entered already, `TypeError` for what
    /// is none.
    #[inline]
    pub(crate) fn run<R>(
        self,
        py: Python<'_>,
        body: impl FnOnce() -> PyResult<R>,
    ) -> Result<R, (PyErr, Self)> {
        let Some(layout) = self.layout(py) else {
            return run_in(py, &self.0, body).map_err(|error| (error, self));
        };
        let spare = match SPARE.replace(py, None) {
            Some(spare) => spare,
            None => match Spare::new(py, layout) {
                Ok(spare) => spare,
                Err(error) => return Err((error, self)),
            },
        };
        drop(layout.exchange(spare.context.bind(py), self.0));
        match run_in(py, &spare.context, body) {
            // A token of a variable refers to the context in which it was set.
            Ok(answer) if is_unshared(spare.context.bind(py)) => {
                let empty = spare.empty.clone_ref(py);
                let used = layout.exchange(spare.context.bind(py), empty);
                SPARE.set(py, Some(spare));
                drop(used);
                Ok(answer)
            }
            // Given away, or in use by who is its owner from here on.
            Ok(answer) => Ok(answer),
            Err(error) => Err((error, Self(spare.context.clone_ref(py)))),
        }
    }
}

impl Spare {
    #[cold]
    fn new(py: Python<'_>, layout: Layout) -> PyResult<Self> {
        let context = new_context(py)?;
        let empty = layout.variables(&context).unbind();
        // SAFETY: attached; a new context is tracked.
        unsafe { ffi::PyObject_GC_UnTrack(context.as_ptr().cast()) };
        Ok(Self { context: context.unbind(), empty })
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // SAFETY: attached, as spares are used and replaced; the context is whole, and was untracked
        // when it became a spare.
        unsafe { ffi::PyObject_GC_Track(self.context.as_ptr().cast()) };
    }
}

/// Whether this is the only reference, weak ones counted.
#[inline]
fn is_unshared(context: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    unsafe { ffi::Py_REFCNT(context.as_ptr()) == 1 && !has_weak_references(context) }
}

#[cold]
fn new_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; the call answers a new reference or NULL with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_New()) }
}
