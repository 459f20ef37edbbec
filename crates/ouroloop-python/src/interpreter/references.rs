//! References: to objects that may not be there, and how they end.
//!
//! A [`Py`] that is dropped where PyO3 does not know that the thread is attached is put off: its object lives on until a
//! function of PyO3's own is called, which may be never. Methods and slots that PyO3 has made tell it; the slots
//! of [`crate::native`] do where they say so, and the rest, which is called too often for that, ends its references by
//! [`Py::drop_ref`], [`DropRef`] or as [`Bound`]. The build of `make test-lent` ends the process at one that would be put off.

use pyo3::prelude::*;

/// [`Py::clone_ref`] of what a `Py` may be missing from.
pub(crate) trait CloneRef {
    /// Another reference to the same object, if there is one.
    fn clone_ref(&self, py: Python<'_>) -> Self;
}

impl<T> CloneRef for Option<Py<T>> {
    #[inline]
    fn clone_ref(&self, py: Python<'_>) -> Self {
        self.as_ref().map(|object| object.clone_ref(py))
    }
}

/// [`Py::drop_ref`] of what a `Py` may be missing from: its own drop looks up whether the thread is attached, in a
/// variable of the thread's.
pub(crate) trait DropRef {
    /// Ends the reference, if there is one.
    fn drop_ref(self, py: Python<'_>);
}

impl<T> DropRef for Option<Py<T>> {
    #[inline]
    fn drop_ref(self, py: Python<'_>) {
        drop(self.map(|object| object.into_bound(py)));
    }
}

/// Runs what may drop a [`Py`] in a function that has not told PyO3 that the thread is attached.
#[cold]
pub(crate) fn attached<R>(py: Python<'_>, body: impl FnOnce() -> R) -> R {
    let _ = py;
    // SAFETY: `py` proves that the thread is attached, so this counts only.
    unsafe { Python::attach_unchecked(|_| body()) }
}
