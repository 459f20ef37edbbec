//! The `TimeoutError` that takes a cancellation's place.

use pyo3::exceptions::PyTimeoutError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::errors::containment::settled;
use crate::standard::Standard;

/// Makes the cancellation that leaves the block a `TimeoutError`; from 3.13 on also the one that
/// another exception has covered.
pub(super) fn convert(
    class: &Bound<'_, PyType>,
    exception: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = class.py();
    let cancelled = Standard::get(py)?.cancelled_error.bind(py);
    if class.is_subclass(cancelled)? {
        return Err(timeout_from(py, exception));
    }
    let Some(exception) = exception.filter(|_| cfg!(Py_3_13)) else { return Ok(()) };
    insert_timeout(exception)?;
    let group = crate::interpreter::modules::module(py, intern!(py, "builtins"))?
        .getattr(intern!(py, "ExceptionGroup"))?;
    if exception.is_instance(&group)? {
        for inner in exception.getattr(intern!(py, "exceptions"))?.try_iter()? {
            insert_timeout(&inner?)?;
        }
    }
    Ok(())
}

/// `TimeoutError` raised from `exception` while that was handled.
pub(in crate::combine) fn timeout_from(
    py: Python<'_>,
    exception: Option<&Bound<'_, PyAny>>,
) -> PyErr {
    let error = settled(py, PyTimeoutError::new_err(()));
    let Some(exception) = exception else { return error };
    let value = error.value(py);
    // SAFETY: attached; both setters steal the reference that is made for them, of an exception.
    unsafe {
        ffi::PyException_SetCause(value.as_ptr(), exception.clone().into_ptr());
        ffi::PyException_SetContext(value.as_ptr(), exception.clone().into_ptr());
    }
    error
}

/// Puts a `TimeoutError` before the first cancellation among an exception's contexts, which a
/// program may have tied to a ring: asyncio never comes back from one.
fn insert_timeout(exception: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = exception.py();
    let cancelled = Standard::get(py)?.cancelled_error.bind(py);
    let mut exception = exception.clone();
    // Brent's: the walk is held against where it was when its length was last a power of two.
    let mut landmark = exception.clone();
    let (mut steps, mut until) = (0_usize, 1_usize);
    loop {
        let context = exception.getattr(intern!(py, "__context__"))?;
        if context.is_none() {
            return Ok(());
        }
        if context.is_instance(cancelled)? {
            let timeout = timeout_from(py, Some(&context)).into_value(py);
            return exception.setattr(intern!(py, "__context__"), timeout);
        }
        if context.is(&landmark) {
            return Ok(());
        }
        exception = context;
        steps += 1;
        if steps == until {
            landmark = exception.clone();
            until *= 2;
        }
    }
}
