//! The native classes whose objects are futures and nothing more: what they do is known, so that native code looks
//! into them, and cancels them, without a call of Python's.
//!
//! Each class registers itself when the module is made; a derived class is not one of them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::PyClass;

use super::object::Future;
use super::state::FuturePhase;
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;

/// How a class's objects are cancelled, with a message; answers whether that was still possible.
pub(crate) type Cancel = fn(&Bound<'_, PyAny>, Option<Py<PyAny>>) -> PyResult<bool>;

struct Kin {
    class: AtomicPtr<ffi::PyTypeObject>,
    cancel: OnceLock<Cancel>,
}

/// Tasks come first, they are asked for most.
static KIN: [Kin; 3] =
    [const { Kin { class: AtomicPtr::new(std::ptr::null_mut()), cancel: OnceLock::new() } }; 3];

/// The place of a class among its kin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    Task,
    Future,
    Gathering,
}

/// Makes a class known: `Future`, or one that derives from it in Rust.
///
/// # Panics
/// For any other class.
pub(crate) fn register<T: PyClass>(py: Python<'_>, which: Which, cancel: Cancel) {
    let class = py.get_type::<T>();
    let derives = class.is_subclass_of::<Future>();
    assert!(derives.unwrap_or(false), "a kin of futures derives from them");
    let kin = &KIN[which as usize];
    kin.cancel.get_or_init(|| cancel);
    kin.class.store(class.as_type_ptr(), Ordering::Relaxed);
}

#[inline]
fn kin_of(object: &Bound<'_, PyAny>) -> Option<&'static Kin> {
    let class = object.get_type_ptr();
    KIN.iter().find(|kin| kin.class.load(Ordering::Relaxed) == class)
}

/// The object as a native future if its type is exactly one of ours.
#[inline]
pub(crate) fn exactly_native<'a, 'py>(
    object: &'a Bound<'py, PyAny>,
) -> Option<&'a Bound<'py, Future>> {
    kin_of(object)?;
    // SAFETY: the object's class is one that derives from `Future`.
    Some(unsafe { object.cast_unchecked() })
}

/// Passes a cancellation on to what is awaited, a future of any kind.
///
/// # Errors
/// What its `cancel` raises.
pub(crate) fn cancel_awaited(
    awaited: &Bound<'_, PyAny>,
    message: Option<&Py<PyAny>>,
) -> PyResult<bool> {
    let py = awaited.py();
    let message = message.map(|message| message.clone_ref(py));
    if let Some(cancel) = kin_of(awaited).and_then(|kin| kin.cancel.get()) {
        return cancel(awaited, message);
    }
    let _level = Level::enter(py)?;
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "msg"), message)?;
    awaited.call_method(intern!(py, "cancel"), (), Some(&keywords))?.is_truthy()
}

/// `future.done()` of a future of any kind.
///
/// # Errors
/// What a foreign future raises.
#[inline]
pub(crate) fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match exactly_native(future) {
        Some(native) => Ok(native.get().is_done(future.py())),
        None => future.call_method0(intern!(future.py(), "done"))?.is_truthy(),
    }
}

/// `future.cancelled()` of a future of any kind.
///
/// # Errors
/// What a foreign future raises.
#[inline]
pub(crate) fn is_cancelled(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match exactly_native(future) {
        Some(native) => Ok(native.get().phase(future.py()) == FuturePhase::Cancelled),
        None => future.call_method0(intern!(future.py(), "cancelled"))?.is_truthy(),
    }
}
