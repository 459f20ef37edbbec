//! What the running patch release of Python promises.
//!
//! A wheel is built for one minor version and meets every patch release of it. What later releases only
//! repaired is repaired whichever runs; where a patch release promises something else than the one before,
//! the standard library that is there says so, by a function's signature or words, or else by its version.
//! docs/versions.md lists both.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

type Release = (u8, u8, u8);

/// Whether the interpreter that runs has what came with `releases`, in order, one for each minor version that
/// got it; those after the last one have it from the start.
pub(crate) fn is_since(py: Python<'_>, releases: &[Release]) -> bool {
    static RUNNING: OnceLock<Release> = OnceLock::new();
    let running = *RUNNING.get_or_init(|| {
        let version = py.version_info();
        (version.major, version.minor, version.patch)
    });
    let own = releases.iter().find(|release| (release.0, release.1) == (running.0, running.1));
    own.or(releases.last()).is_none_or(|release| running >= *release)
}

/// A method of the standard loops.
///
/// # Errors
/// `AttributeError`.
pub(crate) fn of_a_standard_loop<'py>(
    method: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = method.py();
    crate::interpreter::modules::module(py, intern!(py, "asyncio.base_events"))?
        .getattr(intern!(py, "BaseEventLoop"))?
        .getattr(method)
}

/// Whether a Python function takes keywords that it does not name; false for anything else.
///
/// # Errors
/// Those of other objects' attributes.
#[cfg(all(Py_3_13, not(Py_3_14)))]
pub(crate) fn takes_any_keyword(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = function.py();
    let Some(code) = function.getattr_opt(intern!(py, "__code__"))? else { return Ok(false) };
    let flags: i32 = code.getattr(intern!(py, "co_flags"))?.extract()?;
    Ok(flags & pyo3::ffi::CO_VARKEYWORDS != 0)
}

/// Whether a Python function has a text that contains `words`; false for anything else.
///
/// # Errors
/// Those of other objects' attributes.
pub(crate) fn says(function: &Bound<'_, PyAny>, words: &str) -> PyResult<bool> {
    let py = function.py();
    let Some(code) = function.getattr_opt(intern!(py, "__code__"))? else { return Ok(false) };
    let constants = code.getattr(intern!(py, "co_consts"))?.cast_into::<PyTuple>()?;
    Ok(constants.iter().any(|constant| {
        constant.extract::<std::borrow::Cow<'_, str>>().is_ok_and(|text| text.contains(words))
    }))
}
