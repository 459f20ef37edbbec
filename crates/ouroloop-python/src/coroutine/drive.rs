//! Stepping what a coroutine awaits.

use pyo3::exceptions::{PyGeneratorExit, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;

use super::body::Incoming;
use super::object::Coroutine;
use crate::errors::containment::settled;
use crate::future::exactly_native;
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::native::slots::Resumed;

/// What `await awaitable` steps through.
///
/// # Errors
/// `TypeError` for what cannot be awaited; what its `__await__` raises.
pub(crate) fn iterator_of<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; compares the object's type.
    let coroutine = unsafe { ffi::PyCoro_CheckExact(awaitable.as_ptr()) != 0 };
    if coroutine
        || awaitable.is_exact_instance_of::<Coroutine>()
        || exactly_native(awaitable).is_some()
    {
        return Ok(awaitable.clone());
    }
    let Some(method) = awaitable.getattr_opt(intern!(awaitable.py(), "__await__"))? else {
        if is_generator_coroutine(awaitable)? {
            return Ok(awaitable.clone());
        }
        let kind = awaitable.get_type();
        return Err(fresh::error::<PyTypeError>(if cfg!(Py_3_14) {
            fresh::text(format_args!("'{}' object can't be awaited", kind.name()?))?
        } else {
            fresh::text(format_args!(
                "object {} can't be used in 'await' expression",
                kind.name()?
            ))?
        }));
    };
    let iterator = method.call0()?;
    let kind = iterator.get_type();
    // SAFETY: attached; looks at the object's type.
    let coroutine = unsafe { ffi::PyCoro_CheckExact(iterator.as_ptr()) != 0 };
    // SAFETY: as above.
    if !coroutine && unsafe { ffi::PyIter_Check(iterator.as_ptr()) != 0 } {
        return Ok(iterator);
    }
    Err(fresh::error::<PyTypeError>(if cfg!(Py_3_15) {
        let (of, kind) =
            (awaitable.get_type().fully_qualified_name()?, kind.fully_qualified_name()?);
        fresh::text(format_args!("{of}.__await__() must return an iterator, not {kind}"))?
    } else if coroutine {
        String::from("__await__() returned a coroutine")
    } else {
        fresh::text(format_args!("__await__() returned non-iterator of type '{}'", kind.name()?))?
    }))
}

/// Whether an object is a generator that `types.coroutine` has made awaitable.
fn is_generator_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: attached; compares the object's type.
    if unsafe { ffi::PyGen_CheckExact(object.as_ptr()) == 0 } {
        return Ok(false);
    }
    let flags = object.getattr(intern!(object.py(), "gi_code"))?;
    let flags: std::ffi::c_int = flags.getattr(intern!(object.py(), "co_flags"))?.extract()?;
    Ok(flags & ffi::CO_ITERABLE_COROUTINE != 0)
}

/// Steps a coroutine or an iterator of `__await__`.
///
/// `GeneratorExit` closes it and is then raised, as `await` does. Where there is no room for another
/// level it is not stepped, and the answer is a `RecursionError`.
pub(crate) fn step_into(iterator: &Bound<'_, PyAny>, incoming: Incoming<'_>) -> Resumed {
    let py = iterator.py();
    let _level = match Level::enter(py) {
        Ok(level) => level,
        Err(error) => return Resumed::Raised(error),
    };
    match incoming.map_err(|error| settled(py, error)) {
        Ok(value) => {
            let mut answer = std::ptr::null_mut();
            // SAFETY: attached; both objects are alive, and by the contract of `PyIter_Send` the
            // answer is a new reference unless the status is an error, which has set one.
            unsafe {
                match ffi::PyIter_Send(iterator.as_ptr(), value.as_ptr(), &raw mut answer) {
                    ffi::PySendResult::PYGEN_NEXT => {
                        Resumed::Yielded(Bound::from_owned_ptr(py, answer).unbind())
                    }
                    ffi::PySendResult::PYGEN_RETURN => {
                        Resumed::Returned(Bound::from_owned_ptr(py, answer).unbind())
                    }
                    ffi::PySendResult::PYGEN_ERROR => Resumed::Raised(PyErr::fetch(py)),
                }
            }
        }
        Err(error) if error.is_instance_of::<PyGeneratorExit>(py) => match close(iterator) {
            Ok(()) => Resumed::Raised(error),
            Err(failed) => Resumed::Raised(failed),
        },
        Err(error) => throw_into(iterator, error),
    }
}

fn throw_into(iterator: &Bound<'_, PyAny>, error: PyErr) -> Resumed {
    let py = iterator.py();
    let throw = match iterator.getattr_opt(intern!(py, "throw")) {
        Ok(Some(throw)) => throw,
        // A native future has no `throw`; what `await` steps through in asyncio raises what it is
        // given.
        Ok(None) if exactly_native(iterator).is_some() => return left_by(py, error),
        Ok(None) => return Resumed::Raised(error),
        Err(lookup) => return Resumed::Raised(lookup),
    };
    match throw.call1((error.into_value(py),)) {
        Ok(object) => Resumed::Yielded(object.unbind()),
        Err(error) => left_by(py, error),
    }
}

/// What it means for an `await` that its iterator raises this.
pub(crate) fn left_by(py: Python<'_>, error: PyErr) -> Resumed {
    if !error.is_instance_of::<PyStopIteration>(py) {
        return Resumed::Raised(error);
    }
    match error.value(py).getattr(intern!(py, "value")) {
        Ok(value) => Resumed::Returned(value.unbind()),
        Err(error) => Resumed::Raised(error),
    }
}

/// Calls `close()` of an iterator that has it.
pub(super) fn close(iterator: &Bound<'_, PyAny>) -> PyResult<()> {
    match iterator.getattr_opt(intern!(iterator.py(), "close"))? {
        Some(close) => close.call0().map(drop),
        None => Ok(()),
    }
}
