//! Which part of a file is sent, as the caller put it.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::interpreter::fresh::{self, Text};

/// A file, where to begin in it, and how much to send of it; all of it without a count.
pub(super) struct Part {
    pub(super) file: Py<PyAny>,
    pub(super) offset: Py<PyAny>,
    pub(super) count: Option<Py<PyAny>>,
}

impl Part {
    pub(super) fn new(
        py: Python<'_>,
        file: Py<PyAny>,
        offset: Option<Py<PyAny>>,
        count: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let offset =
            offset.map_or_else(|| Ok::<_, PyErr>(fresh::int(py, 0)?.into_any().unbind()), Ok)?;
        Ok(Self { file, offset, count })
    }

    /// # Errors
    /// `ValueError` for a text file.
    pub(super) fn check_file(&self, py: Python<'_>) -> PyResult<()> {
        let mode = self.file.bind(py).getattr_opt(intern!(py, "mode"))?;
        match mode {
            Some(mode) if !mode.contains(Text("b"))? => {
                Err(fresh::error::<PyValueError>("file should be opened in binary mode"))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// `TypeError` and `ValueError` for a count or an offset that makes no sense.
    pub(super) fn check_numbers(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(count) = &self.count {
            let count = count.bind(py);
            let message = || -> PyResult<String> {
                fresh::text(format_args!(
                    "count must be a positive integer (got {})",
                    count.repr()?
                ))
            };
            if !count.is_instance_of::<PyInt>() {
                return Err(fresh::error::<PyTypeError>(message()?));
            }
            if count.le(0)? {
                return Err(fresh::error::<PyValueError>(message()?));
            }
        }
        let offset = self.offset.bind(py);
        let message = || -> PyResult<String> {
            fresh::text(format_args!(
                "offset must be a non-negative integer (got {})",
                offset.repr()?
            ))
        };
        if !offset.is_instance_of::<PyInt>() {
            return Err(fresh::error::<PyTypeError>(message()?));
        }
        if offset.lt(0)? {
            return Err(fresh::error::<PyValueError>(message()?));
        }
        Ok(())
    }

    /// # Errors
    /// `OverflowError` for more than any file has.
    pub(super) fn offset(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.offset.extract::<i64>(py)?.cast_unsigned())
    }

    /// The count; `None` for the rest of the file.
    ///
    /// # Errors
    /// `OverflowError` for more than any file has.
    pub(super) fn count(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let count = self.count.as_ref().map(|count| count.extract::<u64>(py)).transpose()?;
        Ok(count.filter(|count| *count > 0))
    }
}

/// An argument of which only the truth counts.
pub(super) struct Truth(pub(super) bool);

impl<'py> FromPyObject<'_, 'py> for Truth {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.is_truthy().map(Self)
    }
}

/// # Errors
/// `ValueError` for a socket that is no stream.
pub(super) fn check_socket(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    if socket.getattr(intern!(socket.py(), "type"))?.ne(libc::SOCK_STREAM)? {
        return Err(fresh::error::<PyValueError>("only SOCK_STREAM type sockets are supported"));
    }
    Ok(())
}
