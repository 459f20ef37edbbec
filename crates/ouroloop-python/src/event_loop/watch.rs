//! Descriptors of the user's own: `add_reader`, `add_writer` and their opposites.

use std::os::fd::RawFd;

use ouroloop::EventLoop;
use pyo3::exceptions::{
    PyAttributeError, PyOverflowError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use super::Loop;
use crate::future::Ready;
use crate::handle::{Handle, HandleCall};
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::transport::datagram::DatagramTransport;
use crate::transport::endpoint::SocketEnd as _;
use crate::transport::socket::SocketTransport;
use crate::turn::Entry;

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
        Self::watch_for_reader(slf, fd, callback, args).map(drop)
    }

    /// Stops watching `fd` for readability; answers whether it was watched.
    fn remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::unwatch_for_program(slf, fd, EventLoop::clear_reader)
    }

    /// Calls `callback(*args)` whenever `fd` is writable.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_writer(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        Self::watch_for_writer(slf, fd, callback, args).map(drop)
    }

    /// Stops watching `fd` for writability; answers whether it was watched.
    fn remove_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::unwatch_for_program(slf, fd, EventLoop::clear_writer)
    }

    /// `add_reader` as asyncio's own transports and child watchers call it; answers the handle.
    #[pyo3(name = "_add_reader", signature = (fd, callback, *args))]
    fn watch_for_reader(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<Py<Handle>> {
        Self::watch_for_program(slf, fd, callback, args, Self::watch_readable)
    }

    /// `add_writer` as asyncio's own transports call it; answers the handle.
    #[pyo3(name = "_add_writer", signature = (fd, callback, *args))]
    fn watch_for_writer(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<Py<Handle>> {
        Self::watch_for_program(slf, fd, callback, args, Self::watch_writable)
    }

    /// `remove_reader` under the name that they use.
    #[pyo3(name = "_remove_reader")]
    fn watch_for_no_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_reader(slf, fd)
    }

    /// `remove_writer` under the name that they use.
    #[pyo3(name = "_remove_writer")]
    fn watch_for_no_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_writer(slf, fd)
    }
}

impl Loop {
    /// The transport that uses descriptor `fd` and is not closing.
    pub(super) fn transport_on(&self, py: Python<'_>, fd: RawFd) -> Option<Py<PyAny>> {
        let transport = self.transports.with(py, |transports| {
            let transport = transports.get(&fd)?.as_ptr();
            // SAFETY: a transport is removed before its memory goes; one whose count is zero is
            // being deallocated and must not be revived.
            if unsafe { ffi::Py_REFCNT(transport) } == 0 {
                return None;
            }
            // SAFETY: as above.
            Some(unsafe { Bound::from_borrowed_ptr(py, transport) })
        })?;
        (!is_closing(&transport)).then(|| transport.unbind())
    }

    fn watch_for_program(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
        watch: impl FnOnce(&Self, Python<'_>, RawFd, HandleCall) -> PyResult<Option<Entry>>,
    ) -> PyResult<Py<Handle>> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        let number = Self::user_descriptor(slf, fd)?;
        slf.get().check_closed(py)?;
        let handle = Self::make_handle(slf, callback.into_bound(py), args.clone(), None)?.unbind();
        let before = watch(slf.get(), py, number, HandleCall(handle.clone_ref(py)))?;
        slf.get().remember_file(fd, number);
        cancel(py, before)?;
        Ok(handle)
    }

    fn unwatch_for_program(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        clear: impl FnOnce(&mut EventLoop<Entry>, RawFd) -> Option<Entry>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let Some(number) = Self::watched_descriptor(slf, fd)? else { return Ok(false) };
        let before = slf.get().engine.with(py, |engine| clear(engine, number));
        slf.get().forget_file(py, number);
        cancel(py, before)
    }

    /// The number of what is to be watched no longer. A file object that was closed in the meantime
    /// is known by its identity.
    ///
    /// # Errors
    /// As [`Loop::user_descriptor`], but that a number which no descriptor has is not watched.
    fn watched_descriptor(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<Option<RawFd>> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        let number = match descriptor_number(fd) {
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => return Ok(None),
            number => number?,
        };
        if !fd.is_instance_of::<PyInt>() && number < 0 {
            let known = slf.get().files.with(slf.py(), |files| {
                let mut files = files.iter();
                files.find(|(_, file)| file.as_ptr() == fd.as_ptr()).map(|(number, _)| *number)
            });
            if let Some(number) = known {
                return Ok(Some(number));
            }
        }
        Self::check_unused(slf, number, || fresh::content(&fd.repr()?))?;
        Ok(Some(number))
    }

    /// Keeps a file object by which a descriptor is watched.
    fn remember_file(&self, fd: &Bound<'_, PyAny>, number: RawFd) {
        if !fd.is_instance_of::<PyInt>() {
            let file = fd.clone().unbind();
            drop(self.files.with(fd.py(), |files| files.insert(number, file)));
        }
    }

    /// Lets go of the file object of a descriptor that is watched no more.
    fn forget_file(&self, py: Python<'_>, number: RawFd) {
        if self.engine.with(py, |engine| matches!(engine.watched(number), (None, None))) {
            drop(self.files.with(py, |files| files.remove(&number)));
        }
    }

    /// The number of a descriptor or file object that no transport of this loop uses.
    pub(super) fn user_descriptor(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<RawFd> {
        let number = descriptor_number(fd)?;
        Self::check_unused(slf, number, || fresh::content(&fd.repr()?))?;
        Ok(number)
    }

    /// # Errors
    /// `ValueError` for what is no descriptor, `RuntimeError` for one that a transport of this loop
    /// uses; `shown` is what to call it.
    #[inline]
    pub(super) fn check_unused(
        slf: &Bound<'_, Self>,
        number: RawFd,
        shown: impl FnOnce() -> PyResult<String>,
    ) -> PyResult<()> {
        let py = slf.py();
        if number < 0 {
            return Err(fresh::error::<PyValueError>(format!("Invalid file descriptor: {number}")));
        }
        if let Some(transport) = slf.get().transport_on(py, number) {
            let message = format!("File descriptor {} is used by transport", shown()?);
            return Err(fresh::error_saying::<PyRuntimeError>(format_args!(
                "{message} {}",
                transport.bind(py).repr()?
            )));
        }
        Ok(())
    }
}

/// `fd` itself, or `int()` of what its `fileno()` answers.
///
/// # Errors
/// `OverflowError` for a number that no descriptor has.
fn descriptor_number(fd: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let py = fd.py();
    if let Ok(number) = fd.cast::<PyInt>() {
        return number_of(number);
    }
    let number = fd.call_method0(intern!(py, "fileno")).and_then(|number| {
        match number.cast_into_exact::<PyInt>() {
            Ok(number) => Ok(number),
            Err(other) => Ok(py.get_type::<PyInt>().call1((other.into_inner(),))?.cast_into()?),
        }
    });
    match number {
        Ok(number) => number_of(&number),
        Err(error) => {
            let is_no_file = error.is_instance_of::<PyAttributeError>(py)
                || error.is_instance_of::<PyTypeError>(py)
                || error.is_instance_of::<PyValueError>(py);
            if !is_no_file {
                return Err(error);
            }
            Err(fresh::error_saying::<PyValueError>(format_args!(
                "Invalid file object: {}",
                fd.repr()?
            )))
        }
    }
}

fn number_of(number: &Bound<'_, PyInt>) -> PyResult<RawFd> {
    if let Ok(number) = number.extract() {
        return Ok(number);
    }
    if number.lt(0)? {
        // A number of too many digits has no text, and says so itself.
        let message = fresh::text(format_args!("Invalid file descriptor: {}", number.str()?))?;
        return Err(fresh::error::<PyValueError>(message));
    }
    Err(fresh::error::<PyOverflowError>("Python int too large to convert to C int"))
}

/// Cancels the handle that was watched before, if there was one. A socket method that waited is left
/// waiting, as under asyncio.
fn cancel(py: Python<'_>, before: Option<Entry>) -> PyResult<bool> {
    match before.map(Entry::take::<HandleCall>) {
        Some(Ok(HandleCall(handle))) => {
            Handle::cancel_now(handle.bind(py))?;
            Ok(true)
        }
        Some(Err(other)) => Ok(other.get::<Ready>().is_some()),
        None => Ok(false),
    }
}

/// Whether a transport of this crate is closing or closed.
fn is_closing(transport: &Bound<'_, PyAny>) -> bool {
    let py = transport.py();
    if let Ok(transport) = transport.cast::<SocketTransport>() {
        return transport.get().is_closing(py);
    }
    transport.cast::<DatagramTransport>().is_ok_and(|transport| transport.get().is_closing(py))
}
