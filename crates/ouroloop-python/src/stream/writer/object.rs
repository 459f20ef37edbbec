//! A writer: the transport, protocol and reader that it speaks for.

use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyAssertionError, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::{self, ValueOffset};
use crate::native::slots::Deallocate;
use crate::standard::warner;
use crate::stream::reader::{is_reader, missing};
use crate::stream::release::Release;
use crate::transport::endpoint::SocketEnd;
use crate::transport::socket::SocketTransport;

/// A native `asyncio.StreamWriter`.
#[pyclass(frozen, subclass, weakref, module = "asyncio.streams")]
#[derive(Debug)]
pub(crate) struct StreamWriter {
    pub(super) state: AttachedCell<State>,
}

/// Each is none before `__init__` has run.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) transport: Option<Py<PyAny>>,
    pub(super) protocol: Option<Py<PyAny>>,
    pub(super) reader: Option<Py<PyAny>>,
    pub(super) event_loop: Option<Py<PyAny>>,
    /// asyncio's future that is done; made when somebody asks for it.
    pub(super) complete: Option<Py<PyAny>>,
}

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl StreamWriter {
    pub(super) fn new() -> Self {
        Self { state: AttachedCell::new(State::default()) }
    }

    /// A writer over any transport.
    ///
    /// # Errors
    /// `AssertionError` if `reader` is neither a reader nor `None`.
    pub(in crate::stream) fn create<'py>(
        transport: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        reader: &Bound<'py, PyAny>,
        event_loop: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let writer = Bound::new(transport.py(), Self::new())?;
        Self::begin(&writer, transport, protocol, reader, event_loop)?;
        Ok(writer)
    }

    pub(super) fn begin(
        slf: &Bound<'_, Self>,
        transport: &Bound<'_, PyAny>,
        protocol: &Bound<'_, PyAny>,
        reader: &Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        instance_dict::drop_unused(slf.as_any());
        // Set before the reader is looked at, as asyncio has it: a writer that is refused closes its
        // transport all the same.
        let kept = |object: &Bound<'_, PyAny>| Some(object.clone().unbind());
        let state = State {
            transport: kept(transport),
            protocol: kept(protocol),
            event_loop: kept(event_loop),
            ..State::default()
        };
        drop(slf.get().state.replace(slf.py(), state));
        if !reader.is_none() && !is_reader(reader)? {
            return Err(PyAssertionError::new_err(()));
        }
        let reader = kept(reader);
        drop(slf.get().state.with(slf.py(), |state| std::mem::replace(&mut state.reader, reader)));
        Ok(())
    }

    /// One of the objects that `__init__` was given.
    ///
    /// # Errors
    /// `AttributeError` before it has run.
    #[inline]
    pub(super) fn part<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        part: impl FnOnce(&State) -> &Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get()
            .state
            .with(py, |state| part(state).clone_ref(py))
            .map(|object| object.into_bound(py))
            .ok_or_else(|| missing(slf, name))
    }

    #[inline]
    pub(super) fn transport<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::part(slf, "_transport", |state| &state.transport)
    }

    pub(super) fn protocol<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::part(slf, "_protocol", |state| &state.protocol)
    }

    pub(super) fn reader<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::part(slf, "_reader", |state| &state.reader)
    }

    pub(super) fn event_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::part(slf, "_loop", |state| &state.event_loop)
    }

    /// Calls a method of the transport, which may be a writer again.
    pub(super) fn delegate<'py>(
        slf: &Bound<'py, Self>,
        method: &Bound<'py, PyString>,
        arguments: impl PyCallArgs<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _level = Level::enter(slf.py())?;
        Self::transport(slf)?.call_method1(method, arguments)
    }

    /// `write(data)`.
    #[inline]
    pub(super) fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let transport = Self::transport(slf)?;
        match transport.cast_exact::<SocketTransport>() {
            Ok(socket) => SocketTransport::write(socket, data),
            Err(_) => Self::delegate(slf, intern!(slf.py(), "write"), (data,)).map(drop),
        }
    }

    /// Whether a transport is closing or closed, once what was written has left.
    #[inline]
    pub(super) fn is_closing(transport: &Bound<'_, PyAny>) -> PyResult<bool> {
        match transport.cast_exact::<SocketTransport>() {
            Ok(socket) => {
                SocketTransport::flush_unsent(socket)?;
                Ok(socket.get().is_closing(transport.py()))
            }
            Err(_) => transport.call_method0(intern!(transport.py(), "is_closing"))?.is_truthy(),
        }
    }

    /// Closes what nobody can close any more, and says so.
    pub(super) fn close_forgotten(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if Self::is_closing(&Self::transport(slf)?)? {
            return Ok(());
        }
        let warn = warner(py)?;
        let category = py.get_type::<PyResourceWarning>();
        let event_loop = Self::event_loop(slf)?;
        if event_loop.call_method0(intern!(py, "is_closed"))?.is_truthy()? {
            return warn.call1((Text("loop is closed"), category)).map(drop);
        }
        slf.call_method0(intern!(py, "close"))?;
        let message = fresh::text(format_args!("unclosed {}", slf.repr()?))?;
        warn.call1((Text(message), category)).map(drop)
    }
}

impl Deallocate for StreamWriter {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let transport = slf.get().state.with(py, |state| state.transport.clone_ref(py));
        let transport = transport.map(|transport| transport.into_bound(py));
        let closed = transport.is_none_or(|transport| {
            let socket = transport.cast_exact::<SocketTransport>();
            socket.is_ok_and(|socket| socket.get().is_closing(py))
        });
        !closed && Release::get(py).is_ok_and(|release| release.closes_forgotten)
    }

    fn last_words(slf: &Bound<'_, Self>) {
        if let Err(error) = Self::close_forgotten(slf) {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: `install` has given the class a dictionary.
        unsafe { instance_dict::strip(slf) };
    }
}
