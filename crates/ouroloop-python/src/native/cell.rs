//! The one cell in which native objects keep their state.
//!
//! Objects of this crate are shared by Python and therefore `&self` everywhere. Their state is
//! *attached*: it is touched only by a thread that is attached to the interpreter, and under the
//! GIL there is one such thread at a time. A [`AttachedCell`] turns that into access without
//! borrow flags, under one rule:
//!
//! **No Python code runs inside [`AttachedCell::with`].** No call, no attribute, no allocation of
//! a Python object (it may collect garbage), no drop of one (it may run a finalizer) but of plain
//! `bytes`. Values to be dropped are moved out and dropped after: where something may stand already
//! a value is written by `replace`, not by `=`, and what takes a value that it may have no use for
//! gives it back. Debug builds check that accesses do not nest, and `make test-lent` runs the tests
//! on a build that reports every breach (see `lent/mod.rs`).
//!
//! A free-threaded interpreter has more than one attached thread at a time; this crate does not
//! declare support for it (the interpreter turns its GIL on at import), and a port has to put a
//! lock into this file.

use std::cell::UnsafeCell;
use std::fmt;

use crate::interpreter::references::CloneRef as _;
use pyo3::PyTraverseError;
use pyo3::prelude::*;

/// State that only attached threads touch.
pub(crate) struct AttachedCell<T> {
    value: UnsafeCell<T>,
    /// Zero until the value is written: see [`AttachedCell::traverse`].
    #[cfg(not(Py_3_12))]
    written: bool,
    #[cfg(debug_assertions)]
    busy: std::sync::atomic::AtomicBool,
}

// SAFETY: every access takes a `Python` token, so the thread is attached and, under the GIL, the
// only one; `T` need not be `Sync`, and moves between threads only as the GIL does.
unsafe impl<T> Sync for AttachedCell<T> {}
// SAFETY: as above; values inside are Python references and plain data.
unsafe impl<T> Send for AttachedCell<T> {}

impl<T> AttachedCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
            #[cfg(not(Py_3_12))]
            written: true,
            #[cfg(debug_assertions)]
            busy: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Lends the state for a moment in which no Python code runs.
    #[inline]
    pub(crate) fn with<R>(&self, _py: Python<'_>, access: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(debug_assertions)]
        let _guard = {
            use std::sync::atomic::Ordering::Relaxed;
            struct Guard<'a>(&'a std::sync::atomic::AtomicBool);
            impl Drop for Guard<'_> {
                fn drop(&mut self) {
                    self.0.store(false, Relaxed);
                }
            }
            assert!(!self.busy.swap(true, Relaxed), "state accessed while it is lent");
            Guard(&self.busy)
        };
        #[cfg(ouroloop_check_lent)]
        let _lent = crate::native::lent::Lent::begin();
        // SAFETY: the token proves that this thread is attached, hence alone under the GIL; the
        // rule above (checked in debug builds) excludes a second access within this one.
        access(unsafe { &mut *self.value.get() })
    }

    /// Lends the state to the garbage collector, which only reads while every other thread waits.
    ///
    /// Python 3.11 collects garbage inside any allocation, and `object.__new__` allocates an
    /// object's dictionary when the object is tracked already but its Rust value is not written:
    /// all that is there then is zeroes.
    ///
    /// # Errors
    /// Those of the visits.
    ///
    /// # Safety
    /// To be called from `tp_traverse` alone.
    #[inline]
    pub(crate) unsafe fn traverse(
        &self,
        access: impl FnOnce(&T) -> Result<(), PyTraverseError>,
    ) -> Result<(), PyTraverseError> {
        #[cfg(not(Py_3_12))]
        if !self.written {
            return Ok(());
        }
        #[cfg(ouroloop_check_lent)]
        crate::native::lent::check("tp_traverse");
        // SAFETY: a collection starts at an allocation of a Python object or an explicit call,
        // never inside `with`, so no `&mut` is alive.
        access(unsafe { &*self.value.get() })
    }

    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }

    #[inline]
    pub(crate) fn set(&self, py: Python<'_>, value: T) {
        drop(self.replace(py, value));
    }

    #[inline]
    pub(crate) fn replace(&self, py: Python<'_>, value: T) -> T {
        self.with(py, |place| std::mem::replace(place, value))
    }
}

impl<T> AttachedCell<Option<Py<T>>> {
    /// A new reference to the object inside.
    #[inline]
    pub(crate) fn fetch(&self, py: Python<'_>) -> Option<Py<T>> {
        self.with(py, |value| value.clone_ref(py))
    }

    #[inline]
    pub(crate) fn take(&self, py: Python<'_>) -> Option<Py<T>> {
        self.replace(py, None)
    }
}

impl<T> fmt::Debug for AttachedCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttachedCell")
    }
}
