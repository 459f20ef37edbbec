//! Delays as programs give them: numbers of any kind.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

/// `not delay <= 0`, which NaN is.
#[inline]
pub(super) fn is_positive(delay: &Bound<'_, PyAny>) -> PyResult<bool> {
    match is_plainly_positive(delay) {
        Some(positive) => Ok(positive),
        None => Ok(!delay.le(0)?),
    }
}

/// The same where it takes no code of Python's to find out.
#[inline]
pub(super) fn is_plainly_positive(delay: &Bound<'_, PyAny>) -> Option<bool> {
    if let Ok(delay) = delay.cast_exact::<PyFloat>() {
        let delay = delay.value();
        return Some(delay > 0.0 || delay.is_nan());
    }
    // SAFETY: attached; looks at the type, and at the value of what is an integer.
    unsafe {
        if ffi::PyLong_CheckExact(delay.as_ptr()) != 0 {
            let mut overflow = 0;
            let value = ffi::PyLong_AsLongLongAndOverflow(delay.as_ptr(), &raw mut overflow);
            return Some(overflow > 0 || (overflow == 0 && value > 0));
        }
    }
    None
}
