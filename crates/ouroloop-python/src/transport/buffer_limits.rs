//! The limits of a transport's buffers: any numbers, since asyncio only compares them.

use std::fmt;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::interpreter::fresh;

/// A limit as a program gives it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) enum BufferLimit {
    Whole(i64),
    Real(f64),
}

impl FromPyObject<'_, '_> for BufferLimit {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if !object.is_instance_of::<PyInt>() {
            return object.extract().map(Self::Real).or_else(|_| object.extract().map(Self::Whole));
        }
        // More than any buffer has, and less than none.
        let beyond = |_| Ok(if object.lt(0)? { i64::MIN } else { i64::MAX });
        object.extract().or_else(beyond).map(Self::Whole)
    }
}

impl fmt::Display for BufferLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) if number.is_nan() => f.write_str("nan"),
            Self::Real(number) => fmt::Debug::fmt(number, f),
        }
    }
}

impl BufferLimit {
    fn times_four(self) -> Self {
        match self {
            Self::Whole(number) => Self::Whole(number.saturating_mul(4)),
            Self::Real(number) => Self::Real(number * 4.0),
        }
    }

    fn quarter(self) -> Self {
        match self {
            Self::Whole(number) => Self::Whole(number.div_euclid(4)),
            // Python divides so.
            Self::Real(number) if number.is_infinite() => Self::Real(f64::NAN),
            Self::Real(number) => Self::Real((number / 4.0).floor()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "no buffer is that large")]
    fn number(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }

    /// The largest size that is not above it, which is not below zero.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates: infinity is more than any buffer has"
    )]
    fn bytes(self) -> usize {
        match self {
            Self::Whole(number) => usize::try_from(number).unwrap_or(0),
            Self::Real(number) => number as usize,
        }
    }
}

/// The upper and the lower limit in bytes, of which either may be missing; without both, `default` bytes and a
/// quarter of that.
///
/// # Errors
/// `ValueError` unless `high >= low >= 0`.
pub(super) fn buffer_limits(
    high: Option<BufferLimit>,
    low: Option<BufferLimit>,
    default: i64,
) -> PyResult<(usize, usize)> {
    let high =
        high.unwrap_or_else(|| low.map_or(BufferLimit::Whole(default), BufferLimit::times_four));
    let low = low.unwrap_or_else(|| high.quarter());
    let in_order = match (high, low) {
        (BufferLimit::Whole(high), BufferLimit::Whole(low)) => high >= low && low >= 0,
        _ => high.number() >= low.number() && low.number() >= 0.0,
    };
    if in_order {
        return Ok((high.bytes(), low.bytes()));
    }
    let message = format!("high ({high}) must be >= low ({low}) must be >= 0");
    Err(fresh::error::<PyValueError>(message))
}
