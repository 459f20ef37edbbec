//! What `readuntil` looks for: one separator or, from Python 3.13 on, the first of several.

use pyo3::PyTraverseError;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::interpreter::fresh;
use crate::interpreter::room::{gathered, vector};

/// Where a separator was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// One separator.
pub(super) enum Separator {
    Bytes(Vec<u8>),
    /// Something with a length that cannot be found, which the search will say.
    Odd(Py<PyAny>, usize),
}

impl Separator {
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let length = object.len()?;
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            let bytes = bytes.as_bytes();
            let mut copy = vector(object.py(), bytes.len())?;
            copy.extend_from_slice(bytes);
            return Ok(Self::Bytes(copy));
        }
        match PyBuffer::<u8>::get(object) {
            Ok(buffer) => Ok(Self::Bytes(buffer.to_vec(object.py())?)),
            Err(_) => Ok(Self::Odd(object.clone().unbind(), length)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Odd(_, length) => *length,
        }
    }
}

/// The separators of one call.
pub(super) enum Separators {
    /// The usual one: a newline.
    Newline,
    /// As they were given, not looked at yet.
    Given(Py<PyAny>),
    /// From the shortest to the longest; not empty.
    Sorted(Vec<Separator>),
}

impl FromPyObject<'_, '_> for Separators {
    type Error = PyErr;

    /// Whatever was given: even `None` is no newline.
    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        Ok(Self::Given(given.to_owned().unbind()))
    }
}

impl Separators {
    /// Looks at what was given.
    ///
    /// # Errors
    /// `ValueError` for no separators or an empty one; `TypeError` for what has no length.
    pub(super) fn prepare(&mut self, py: Python<'_>) -> PyResult<()> {
        let Self::Given(given) = self else { return Ok(()) };
        let given = given.bind(py);
        let mut sorted = match given.cast::<PyTuple>() {
            Ok(several) if cfg!(Py_3_13) => {
                gathered(py, several.iter().map(|one| Separator::of(&one)))?
            }
            _ => vec![Separator::of(given)?],
        };
        sorted.sort_by_key(Separator::len);
        match sorted.first().map(Separator::len) {
            None => {
                let message = "Separator should contain at least one element";
                return Err(fresh::error::<PyValueError>(message));
            }
            Some(0) => {
                let message = "Separator should be at least one-byte string";
                return Err(fresh::error::<PyValueError>(message));
            }
            Some(_) => {}
        }
        *self = Self::Sorted(sorted);
        Ok(())
    }

    pub(super) fn shortest(&self) -> usize {
        match self {
            Self::Sorted(sorted) => sorted.first().map_or(1, Separator::len),
            Self::Newline | Self::Given(_) => 1,
        }
    }

    pub(super) fn longest(&self) -> usize {
        match self {
            Self::Sorted(sorted) => sorted.last().map_or(1, Separator::len),
            Self::Newline | Self::Given(_) => 1,
        }
    }

    /// The error of looking for something that is no bytes.
    ///
    /// # Errors
    /// It.
    pub(super) fn refuse_odd(&self, py: Python<'_>) -> PyResult<()> {
        let Self::Sorted(sorted) = self else { return Ok(()) };
        for separator in sorted {
            if let Separator::Odd(object, _) = separator {
                fresh::byte_array(py, &[])?.call_method1(intern!(py, "find"), (object,))?;
            }
        }
        Ok(())
    }

    /// The first end of a separator in `bytes` from `offset` on.
    pub(super) fn find(&self, bytes: &[u8], offset: usize) -> Option<Found> {
        let rest = bytes.get(offset..)?;
        let found = |place: usize, length: usize| Found {
            start: offset + place,
            end: offset + place + length,
        };
        match self {
            Self::Newline | Self::Given(_) => Some(found(memchr::memchr(b'\n', rest)?, 1)),
            Self::Sorted(sorted) => {
                let mut first: Option<Found> = None;
                for separator in sorted {
                    if let Separator::Bytes(separator) = separator
                        && let Some(place) = memchr::memmem::find(rest, separator)
                    {
                        let found = found(place, separator.len());
                        if first.is_none_or(|first| found.end < first.end) {
                            first = Some(found);
                        }
                    }
                }
                first
            }
        }
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Newline => Ok(()),
            Self::Given(given) => visit.call(given),
            Self::Sorted(sorted) => sorted.iter().try_for_each(|separator| match separator {
                Separator::Bytes(_) => Ok(()),
                Separator::Odd(object, _) => visit.call(object),
            }),
        }
    }
}
