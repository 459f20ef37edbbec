//! What the files of the primitives share.

use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::interpreter::fresh::{self, Text};
use crate::native::instance_dict;
use crate::native::overrides::Untouched;
use crate::native::slots::Deallocate;
use crate::standard::Standard;

/// Tells which methods native code leaves out where nobody has replaced them.
macro_rules! leaves_out {
    ($class:ty, $($name:literal),+) => {
        impl crate::sync::primitive::Patched for $class {
            fn untouched() -> &'static crate::native::overrides::Untouched {
                static UNTOUCHED: crate::native::overrides::Untouched =
                    crate::native::overrides::Untouched::new(&[$($name),+]);
                &UNTOUCHED
            }
        }
    };
}

/// A class of which native code leaves out methods.
pub(super) trait Patched: Deallocate {
    fn untouched() -> &'static Untouched;
}

/// Whether the object is an instance of exactly `T` on which no attribute was set, and nobody has patched `T`.
#[inline]
pub(super) fn is_plain<T: Patched>(object: &Bound<'_, T>) -> bool {
    // SAFETY: an instance of a class of this module has a dictionary.
    object.as_any().is_exact_instance_of::<T>()
        && unsafe { instance_dict::is_empty(object.as_ptr()) }
        && T::untouched().is(object.as_any())
}

/// The representation of any object, with `extra` in brackets.
pub(super) fn repr_with(object: &Bound<'_, PyAny>, extra: &str) -> PyResult<Text<String>> {
    let plain = object
        .py()
        .get_type::<PyAny>()
        .call_method1(intern!(object.py(), "__repr__"), (object,))?;
    let plain: String = plain.extract()?;
    let inner = plain.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    Ok(Text(fresh::text(format_args!("<{} [{extra}]>", inner.unwrap_or(&plain)))?))
}

/// A new reference to `True` or `False`.
#[inline]
pub(super) fn truth(py: Python<'_>, value: bool) -> Py<PyAny> {
    PyBool::new(py, value).to_owned().into_any().unbind()
}

/// Whether an error is a cancellation.
#[inline]
pub(super) fn is_cancellation(py: Python<'_>, error: &PyErr) -> bool {
    Standard::get(py)
        .and_then(|standard| Ok(error.matches(py, standard.cancelled_error.bind(py))?))
        .unwrap_or(false)
}
