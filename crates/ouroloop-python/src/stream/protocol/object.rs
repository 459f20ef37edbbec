//! The protocol between a transport and a reader.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::future::Future;
use crate::interpreter::once::Once as _;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::{self, ValueOffset};
use crate::native::overrides::{self, Attributes, Verdict};
use crate::native::slots::Deallocate;
use crate::stream::reader::{StreamReader, missing};
use crate::waiting::Waiter;

/// A native `asyncio.StreamReaderProtocol`.
#[pyclass(frozen, subclass, weakref, module = "asyncio.streams")]
#[derive(Debug)]
pub(crate) struct StreamReaderProtocol {
    pub(super) state: AttachedCell<State>,
}

#[expect(clippy::struct_excessive_bools, reason = "asyncio's attributes, each settable by itself")]
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) event_loop: Option<Py<PyAny>>,
    /// A weak reference to the reader.
    pub(super) reader: Option<Py<PyAny>>,
    pub(super) strong_reader: Option<Py<PyAny>>,
    pub(super) callback: Option<Py<PyAny>>,
    pub(super) transport: Option<Py<PyAny>>,
    /// The task of the callback's coroutine.
    pub(super) task: Option<Py<PyAny>>,
    /// Where the running release keeps it.
    pub(super) writer: Option<Py<PyAny>>,
    /// The future of the connection's end.
    pub(super) closed: Option<Py<PyAny>>,
    /// The `deque` of those who wait for the transport to take more; none before the first.
    pub(super) drain_waiters: Option<Py<PyAny>>,
    pub(super) source_traceback: Option<Py<PyAny>>,
    pub(super) reject_connection: bool,
    pub(super) over_ssl: bool,
    /// The transport has enough.
    pub(super) paused: bool,
    pub(super) connection_lost: bool,
    pub(super) plain: Option<Verdict<bool>>,
}

/// What is called through Python unless it is ours.
pub(super) const METHODS: [&str; 3] = ["data_received", "_drain_helper", "_stream_reader"];

pub(super) static ORIGINALS: PyOnceLock<Attributes> = PyOnceLock::new();

/// Remembers the methods of the class as they are now.
///
/// # Errors
/// `MemoryError`.
pub(in crate::stream) fn remember_methods(py: Python<'_>) -> PyResult<()> {
    ORIGINALS
        .find(py, || Attributes::of(&py.get_type::<StreamReaderProtocol>(), &METHODS))
        .map(drop)
}

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl StreamReaderProtocol {
    pub(super) fn new() -> Self {
        Self { state: AttachedCell::new(State::default()) }
    }

    /// A protocol for `reader`, whose connection `callback` will be told of.
    pub(in crate::stream) fn create<'py>(
        reader: &Bound<'py, PyAny>,
        callback: Option<&Bound<'py, PyAny>>,
        event_loop: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let protocol = Bound::new(reader.py(), Self::new())?;
        Self::begin(&protocol, reader, callback, event_loop)?;
        Ok(protocol)
    }

    /// What every `__init__` does: a second call starts the object over.
    pub(super) fn begin(
        slf: &Bound<'_, Self>,
        reader: &Bound<'_, PyAny>,
        callback: Option<&Bound<'_, PyAny>>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        instance_dict::drop_unused(slf.as_any());
        let mut fresh = State {
            event_loop: Some(event_loop.clone().unbind()),
            callback: callback.map(|callback| callback.clone().unbind()),
            ..State::default()
        };
        if !reader.is_none() {
            let weak = PyWeakrefReference::new(reader)?;
            fresh.reader = Some(weak.into_any().unbind());
            let source = reader.getattr(intern!(py, "_source_traceback"))?;
            fresh.source_traceback = Some(source.unbind());
        }
        if callback.is_some() && !reader.is_none() {
            fresh.strong_reader = Some(reader.clone().unbind());
        }
        fresh.closed = Some(Waiter::create(event_loop)?.into_object());
        drop(slf.get().state.replace(py, fresh));
        Ok(())
    }

    /// Whether every method that native code leaves out is ours.
    #[inline]
    pub(super) fn is_plain(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let known = slf.get().state.with(py, |state| state.plain);
        match (Verdict::recall(known, slf), ORIGINALS.get(py)) {
            (Some(plain), Some(originals)) => plain && originals.are_not_shadowed(slf),
            _ => Self::judge(slf),
        }
    }

    #[cold]
    pub(super) fn judge(slf: &Bound<'_, Self>) -> bool {
        let (plain, verdict) = overrides::judge(slf, &METHODS, &ORIGINALS);
        slf.get().state.with(slf.py(), |state| state.plain = verdict);
        plain
    }

    /// One of the protocol's objects.
    pub(super) fn part<'py>(
        &self,
        py: Python<'py>,
        part: impl FnOnce(&State) -> &Option<Py<PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| part(state).clone_ref(py)).map(|object| object.into_bound(py))
    }

    /// The loop.
    ///
    /// # Errors
    /// `AttributeError` before `__init__` has run.
    pub(super) fn event_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().part(slf.py(), |state| &state.event_loop).ok_or_else(|| missing(slf, "_loop"))
    }

    /// The reader, unless it is gone.
    pub(super) fn reader<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if Self::is_plain(slf) {
            return slf.get().reader_natively(slf.py());
        }
        let reader = slf.getattr(intern!(slf.py(), "_stream_reader"))?;
        Ok(Some(reader).filter(|reader| !reader.is_none()))
    }

    #[inline]
    pub(super) fn reader_natively<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(weak) = self.part(py, |state| &state.reader) else { return Ok(None) };
        if let Ok(weak) = weak.cast::<PyWeakrefReference>() {
            return Ok(weak.upgrade());
        }
        let reader = weak.call0()?;
        Ok(Some(reader).filter(|reader| !reader.is_none()))
    }

    /// The reader that takes what comes, if no method that was overridden stands between.
    #[inline]
    pub(in crate::stream) fn receiver<'py>(
        slf: &Bound<'py, Self>,
    ) -> Option<Bound<'py, StreamReader>> {
        if !Self::is_plain(slf) {
            return None;
        }
        let reader = slf.get().reader_natively(slf.py()).ok()??;
        reader.cast_into::<StreamReader>().ok().filter(StreamReader::is_plain)
    }
}

impl Deallocate for StreamReaderProtocol {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.closed.is_some())
    }

    /// An end by an error that nobody waited for is not reported.
    fn last_words(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let Some(closed) = slf.get().part(py, |state| &state.closed) else { return };
        if let Ok(native) = closed.cast_exact::<Future>() {
            drop(native.get().failure(py));
            return;
        }
        let looked = || -> PyResult<()> {
            let done = closed.call_method0(intern!(py, "done"))?.is_truthy()?;
            if done && !closed.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
                closed.call_method0(intern!(py, "exception"))?;
            }
            Ok(())
        };
        if let Err(error) = looked() {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: `install` has given the class a dictionary.
        unsafe { instance_dict::strip(slf) };
    }
}
