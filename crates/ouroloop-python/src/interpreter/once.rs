//! What is found out once, by code that may run Python's.
//!
//! Standard cells have one caller find it out and the others wait. Python code that comes back to the same
//! place, from a finalizer or a replaced `__import__`, would wait for itself, and another thread would wait
//! with the interpreter's lock, which the first one needs. Here whoever comes meanwhile finds it out again,
//! and the first to be done is believed.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// A cell that nobody waits for.
pub(crate) trait Once<T> {
    /// What is in it; what `find` answers if that is nothing.
    ///
    /// # Errors
    /// Those of `find`.
    fn find<E>(&self, py: Python<'_>, find: impl FnOnce() -> Result<T, E>) -> Result<&T, E>;
}

impl<T> Once<T> for OnceLock<T> {
    fn find<E>(&self, _: Python<'_>, find: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(known) = self.get() {
            return Ok(known);
        }
        let found = find()?;
        Ok(self.get_or_init(|| found))
    }
}

impl<T> Once<T> for PyOnceLock<T> {
    fn find<E>(&self, py: Python<'_>, find: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(known) = self.get(py) {
            return Ok(known);
        }
        let found = find()?;
        Ok(self.get_or_init(py, || found))
    }
}
