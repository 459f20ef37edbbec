//! A time-out's deadline: a number of seconds of ours, or whatever the program has handed in.

use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::turn::Loop;
use crate::turn::seconds_of;

/// A deadline on the loop's clock.
#[derive(Debug)]
pub(in crate::combine) enum When {
    Never,
    Seconds(f64),
    /// What the program handed in, which it gets back.
    Given(Py<PyAny>),
}

impl When {
    pub(super) fn of(object: Bound<'_, PyAny>) -> Self {
        if object.is_none() { Self::Never } else { Self::Given(object.unbind()) }
    }

    /// `loop.time() + delay`, or never.
    pub(in crate::combine) fn after(
        event_loop: &Bound<'_, PyAny>,
        delay: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let py = delay.py();
        if delay.is_none() {
            return Ok(Self::Never);
        }
        if let Ok(native) = event_loop.cast::<Loop>() {
            let now = Loop::time(native)?;
            let plain =
                delay.is_exact_instance_of::<PyFloat>() || delay.is_exact_instance_of::<PyInt>();
            if plain {
                return Ok(Self::Seconds(now + seconds_of(delay)?));
            }
            let _level = Level::enter(py)?;
            return Ok(Self::of(fresh::float(py, now)?.into_any().add(delay)?));
        }
        Ok(Self::of(event_loop.call_method0(intern!(py, "time"))?.add(delay)?))
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Seconds(seconds) => Self::Seconds(*seconds),
            Self::Given(object) => Self::Given(object.clone_ref(py)),
        }
    }

    pub(super) fn object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match self {
            Self::Never => py.None(),
            Self::Seconds(seconds) => fresh::float(py, seconds)?.into_any().unbind(),
            Self::Given(object) => object,
        })
    }

    pub(super) fn seconds(&self, py: Python<'_>) -> PyResult<f64> {
        match self {
            Self::Never => Ok(f64::INFINITY),
            Self::Seconds(seconds) => Ok(*seconds),
            Self::Given(object) => seconds_of(object.bind(py)),
        }
    }

    /// Whether it is not after `now`.
    pub(super) fn has_come(&self, py: Python<'_>, now: f64) -> PyResult<bool> {
        match self {
            Self::Never => Ok(false),
            Self::Seconds(seconds) => Ok(*seconds <= now),
            Self::Given(object) => object.bind(py).le(now),
        }
    }
}
