//! Synchronisation primitives: objects at which tasks queue up.
//!
//! Every class here derives from [`LoopBound`], which knows the loop and holds the queue of
//! [`Waiters`]. A waiter is a future; who wakes one up ends its future, and the task that waited
//! takes the future out of the queue as the first thing it does. Between the two, a woken waiter
//! stands in the queue and is done: that is how a lock which is free but promised looks taken to
//! newcomers, and it is what the rules about fairness and cancellation hang on.
//!
//! A method that a program may have replaced, by a class of its own or an attribute, is called
//! through Python; [`is_plain`] tells when nothing can have been replaced.

/// Gives a class with an instance dictionary the deallocation that drops it.
macro_rules! drops_its_dictionary {
    ($class:ty) => {
        impl crate::slots::Deallocate for $class {
            fn original() -> &'static std::sync::OnceLock<pyo3::ffi::destructor> {
                static ORIGINAL: std::sync::OnceLock<pyo3::ffi::destructor> =
                    std::sync::OnceLock::new();
                &ORIGINAL
            }

            unsafe fn strip(slf: &pyo3::Bound<'_, Self>) {
                // SAFETY: `complete` has given the class a dictionary.
                if let Some(dict) = unsafe { crate::instance_dict::take(slf.as_ptr()) } {
                    dict.drop_ref(slf.py());
                }
            }
        }
    };
}

/// Tells which methods native code leaves out where nobody has replaced them.
macro_rules! leaves_out {
    ($class:ty, $($name:literal),+) => {
        impl super::Patched for $class {
            fn untouched() -> &'static crate::overrides::Untouched {
                static UNTOUCHED: crate::overrides::Untouched =
                    crate::overrides::Untouched::new(&[$($name),+]);
                &UNTOUCHED
            }
        }
    };
}

mod barrier;
mod condition;
mod event;
mod lock;
mod loop_bound;
mod manager;
mod semaphore;
mod waiters;

use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::fresh::Text;
use crate::instance_dict::{self, complete};
use crate::kinship::class_of;
use crate::overrides::Untouched;
use crate::slots::Deallocate;
use crate::standard::Standard;
use crate::waiter::Waiting;

pub(crate) use barrier::Barrier;
pub(crate) use condition::Condition;
pub(crate) use event::Event;
pub(crate) use lock::Lock;
pub(crate) use loop_bound::LoopBound;
pub(crate) use semaphore::{BoundedSemaphore, Semaphore};
pub(crate) use waiters::{Waiters, WaitersView};

/// A class of which native code leaves out methods.
trait Patched: Deallocate {
    fn untouched() -> &'static Untouched;
}

/// Whether the object is an instance of exactly `T` on which no attribute was set, and nobody has patched `T`.
#[inline]
fn is_plain<T: Patched>(object: &Bound<'_, T>) -> bool {
    // SAFETY: an instance of a class of this module has a dictionary.
    object.as_any().is_exact_instance_of::<T>()
        && unsafe { instance_dict::is_empty(object.as_ptr()) }
        && T::untouched().is(object.as_any())
}

/// Remembers the methods of the classes as they are now.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn remember_methods(py: Python<'_>) -> PyResult<()> {
    fn remember<T: Patched>(py: Python<'_>) -> PyResult<()> {
        T::untouched().remember(&py.get_type::<T>())
    }
    remember::<Lock>(py)?;
    remember::<Condition>(py)?;
    remember::<Semaphore>(py)?;
    remember::<BoundedSemaphore>(py)?;
    remember::<Barrier>(py)
}

/// The representation of any object, with `extra` in brackets.
fn repr_with(object: &Bound<'_, PyAny>, extra: &str) -> PyResult<Text<String>> {
    let plain = object
        .py()
        .get_type::<PyAny>()
        .call_method1(intern!(object.py(), "__repr__"), (object,))?;
    let plain: String = plain.extract()?;
    let inner = plain.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    Ok(Text(format!("<{} [{extra}]>", inner.unwrap_or(&plain))))
}

/// A new reference to `True` or `False`.
#[inline]
fn truth(py: Python<'_>, value: bool) -> Py<PyAny> {
    PyBool::new(py, value).to_owned().into_any().unbind()
}

/// Whether an error is a cancellation.
fn is_cancellation(py: Python<'_>, error: &PyErr) -> bool {
    Standard::get(py)
        .and_then(|standard| Ok(error.matches(py, standard.cancelled_error.bind(py))?))
        .unwrap_or(false)
}

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    loop_bound::install(py)?;
    complete::<Lock>(py)?;
    complete::<Event>(py)?;
    complete::<Condition>(py)?;
    complete::<Semaphore>(py)?;
    complete::<BoundedSemaphore>(py)?;
    complete::<Barrier>(py)
}
