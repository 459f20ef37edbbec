//! A reader's limit: any positive number, as a program has given it and as native code compares it.

use std::convert::Infallible;

use pyo3::Borrowed;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;

/// asyncio's limit for whoever names none.
pub(super) const DEFAULT_LIMIT: i64 = 64 * 1024;

/// A `limit` as a caller gives it, or does not: `None` is one, which is then refused.
#[derive(Debug, Default)]
pub(super) struct GivenLimit<'py>(pub(super) Option<Bound<'py, PyAny>>);

impl<'py> FromPyObject<'_, 'py> for GivenLimit<'py> {
    type Error = Infallible;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> Result<Self, Self::Error> {
        Ok(Self(Some(object.to_owned())))
    }
}

/// # Errors
/// `ValueError` unless it is positive; `TypeError` for what is no number.
pub(super) fn check_limit(limit: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let Some(limit) = limit else { return Ok(()) };
    let _level = Level::enter(limit.py())?;
    if limit.le(0)? {
        return Err(fresh::error::<PyValueError>("Limit cannot be <= 0"));
    }
    Ok(())
}

/// How long a line may be, and half of what a reader takes before it pauses its transport.
#[derive(Debug)]
pub(super) struct Limit {
    /// The limit as it was given; none for the default.
    given: Option<Py<PyAny>>,
    low: i64,
    high: i64,
}

impl Limit {
    pub(super) const fn default() -> Self {
        Self { given: None, low: DEFAULT_LIMIT, high: 2 * DEFAULT_LIMIT }
    }

    /// # Errors
    /// `TypeError` for what is no number.
    pub(super) fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let low = floor(given)?;
        let high = if given.is_exact_instance_of::<PyInt>() {
            low.saturating_mul(2)
        } else {
            floor(&given.mul(2)?)?
        };
        Ok(Self { given: Some(given.clone().unbind()), low, high })
    }

    /// The limit, rounded down: what is compared with it are whole numbers.
    pub(super) const fn low(&self) -> i64 {
        self.low
    }

    /// Twice the limit, rounded down.
    pub(super) const fn high(&self) -> i64 {
        self.high
    }

    /// The limit as it was given.
    pub(super) const fn given(&self) -> Option<&Py<PyAny>> {
        self.given.as_ref()
    }
}

/// A number rounded down, and into the range of `i64`.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, which is wanted")]
fn floor(number: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Ok(number) = number.extract::<i64>() {
        return Ok(number);
    }
    if number.is_instance_of::<PyInt>() {
        return Ok(if number.gt(0)? { i64::MAX } else { i64::MIN });
    }
    Ok(number.extract::<f64>()?.floor() as i64)
}
