//! The methods of `Future` that programs call most.

use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::class::NOT_INITIALIZED;
use super::object::Future;
use super::state::Outcome;
use crate::native::method::{Described, Nullary, Unary, install_nullary, install_unary};
use crate::standard::invalid_state;

/// `done()`.
struct Done;

impl Nullary for Done {
    type Class = Future;
    const DESCRIBED: Described = Described {
        name: c"done",
        doc:
            c"done($self, /)\n--\n\nWhether the future has a result, an exception or is cancelled.",
    };

    #[inline]
    fn call<'py>(slf: &Bound<'py, Future>) -> PyResult<Bound<'py, PyAny>> {
        let done = PyBool::new(slf.py(), slf.get().is_done(slf.py()));
        Ok(done.to_owned().into_any())
    }
}

/// `result()`.
struct Answer;

impl Nullary for Answer {
    type Class = Future;
    const DESCRIBED: Described = Described {
        name: c"result",
        doc: c"result($self, /)\n--\n\nThe result; raises the exception if there is one instead.",
    };

    fn call<'py>(slf: &Bound<'py, Future>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check_initialized(py).map_err(|_| invalid_state(py, NOT_INITIALIZED))?;
        Ok(Future::result(slf)?.into_bound(py))
    }
}

/// `set_result(result)`.
struct SetResult;

impl Unary for SetResult {
    type Class = Future;
    const DESCRIBED: Described = Described {
        name: c"set_result",
        doc: c"set_result($self, result, /)\n--\n\nEnds the future with a result.",
    };

    #[inline]
    fn call<'py>(
        slf: &Bound<'py, Future>,
        result: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check_initialized(py)?;
        Future::finish(slf, Outcome::Result(result.clone().unbind()))?;
        Ok(py.None().into_bound(py))
    }
}

/// Puts these methods into the class.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    install_nullary::<Done>(py)?;
    install_nullary::<Answer>(py)?;
    install_unary::<SetResult>(py)
}
