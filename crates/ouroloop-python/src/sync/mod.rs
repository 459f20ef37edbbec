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

mod barrier;
mod condition;
mod event;
mod lock;
mod loop_bound;
mod manager;
mod semaphore;
mod waiters;

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyBool;

use crate::instance_dict;
use crate::slots::{self, Deallocate};
use crate::standard::Standard;

pub(crate) use barrier::Barrier;
pub(crate) use condition::Condition;
pub(crate) use event::Event;
pub(crate) use lock::Lock;
pub(crate) use loop_bound::LoopBound;
pub(crate) use semaphore::{BoundedSemaphore, Semaphore};
pub(crate) use waiters::{Waiters, WaitersView, Waiting};

/// Whether the object is an instance of exactly `T` on which no attribute was set.
#[inline]
fn is_plain<T: Deallocate>(object: &Bound<'_, T>) -> bool {
    // SAFETY: an instance of a class of this module has a dictionary.
    object.as_any().is_exact_instance_of::<T>()
        && unsafe { instance_dict::is_empty(object.as_ptr()) }
}

/// What `__class__` answers: the standard class for exactly `T`, its own for a derived one.
fn class_of<'py, T: PyClass<Frozen = True>>(
    object: &Bound<'py, T>,
    standard: fn(&'static Standard) -> &'static Py<PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if object.as_any().is_exact_instance_of::<T>() {
        return Ok(standard(Standard::get(object.py())?).bind(object.py()).clone());
    }
    Ok(object.as_any().get_type().into_any())
}

/// The representation of any object, with `extra` in brackets.
fn repr_with(object: &Bound<'_, PyAny>, extra: &str) -> PyResult<String> {
    let plain = object.py().get_type::<PyAny>().call_method1("__repr__", (object,))?;
    let plain: String = plain.extract()?;
    let inner = plain.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    Ok(format!("<{} [{extra}]>", inner.unwrap_or(&plain)))
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

fn complete<T: Deallocate>(py: Python<'_>) -> PyResult<()> {
    instance_dict::install::<T>(py);
    slots::install_deallocate::<T>(py);
    // Messages of the interpreter show the C name, which has the module in it until a name is set.
    let class = py.get_type::<T>();
    class.setattr("__name__", class.name()?)
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
