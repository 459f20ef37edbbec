//! Descriptors of the user's own: `add_reader`, `add_writer` and their opposites.

use std::os::fd::RawFd;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use super::Loop;
use crate::callback::Callback;
use crate::handle::Handle;

#[pymethods]
impl Loop {
    /// Calls `callback(*args)` whenever `fd` is readable.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_reader(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        let (number, callback) = Self::prepare_watch(slf, fd, callback, args)?;
        let before = slf.get().watch_readable(py, number, callback)?;
        cancel(py, before).map(drop)
    }

    /// Stops watching `fd` for readability; answers whether it was watched.
    fn remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        let number = Self::user_descriptor(slf, fd)?;
        cancel(slf.py(), slf.get().engine.with(slf.py(), |engine| engine.clear_reader(number)))
    }

    /// Calls `callback(*args)` whenever `fd` is writable.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_writer(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        let (number, callback) = Self::prepare_watch(slf, fd, callback, args)?;
        let before = slf.get().watch_writable(py, number, callback)?;
        cancel(py, before).map(drop)
    }

    /// Stops watching `fd` for writability; answers whether it was watched.
    fn remove_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        let number = Self::user_descriptor(slf, fd)?;
        cancel(slf.py(), slf.get().engine.with(slf.py(), |engine| engine.clear_writer(number)))
    }
}

impl Loop {
    fn prepare_watch(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<(RawFd, Callback)> {
        let number = Self::user_descriptor(slf, fd)?;
        slf.get().check_closed(slf.py())?;
        let handle = Self::make_handle(slf, callback, args.clone(), None)?;
        Ok((number, Callback::Call(handle.unbind())))
    }

    /// The number of a descriptor or file object that no transport of this loop uses.
    pub(super) fn user_descriptor(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<RawFd> {
        let py = slf.py();
        let number = descriptor_number(fd)?;
        if let Some(transport) = slf.get().transport_on(py, number) {
            let message = format!("File descriptor {} is used by transport", fd.repr()?);
            return Err(PyRuntimeError::new_err(format!(
                "{message} {}",
                transport.bind(py).repr()?
            )));
        }
        Ok(number)
    }
}

/// `fd` itself, or what its `fileno()` answers.
fn descriptor_number(fd: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let py = fd.py();
    let number = if fd.is_instance_of::<PyInt>() {
        fd.extract()
    } else {
        fd.call_method0(intern!(py, "fileno")).and_then(|number| number.extract())
    };
    match number {
        Ok(number) if number >= 0 => Ok(number),
        Ok(number) if fd.is_instance_of::<PyInt>() => {
            Err(PyValueError::new_err(format!("Invalid file descriptor: {number}")))
        }
        _ => Err(PyValueError::new_err(format!("Invalid file object: {}", fd.repr()?))),
    }
}

/// Cancels the handle that was watched before, if there was one.
fn cancel(py: Python<'_>, before: Option<Callback>) -> PyResult<bool> {
    match before {
        Some(Callback::Call(handle)) => {
            Handle::cancel_now(handle.bind(py))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
