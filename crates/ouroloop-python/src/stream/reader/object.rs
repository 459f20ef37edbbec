//! A reader: its bytes, who waits for them, and the transport that it holds back.

use std::mem::MaybeUninit;

use ouroloop::net::Received;
use pyo3::exceptions::{PyAssertionError, PyAttributeError, PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyType};

use crate::future::{Home, stack_in_debug_mode};
use crate::interpreter::fresh;
use crate::interpreter::once::Once as _;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::{self, ValueOffset};
use crate::native::overrides::{self, Attributes, Verdict};
use crate::stream::buffer::Buffer;
use crate::stream::limit::Limit;
use crate::waiting::Waiter;

/// A native `asyncio.StreamReader`.
#[pyclass(frozen, subclass, weakref, module = "asyncio.streams")]
#[derive(Debug)]
pub(crate) struct StreamReader {
    pub(super) buffer: Buffer,
    pub(super) state: AttachedCell<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) home: Home,
    pub(super) limit: Limit,
    /// The future of whoever waits for data, until it is woken.
    pub(super) waiter: Option<Waiter>,
    /// How much the waiting coroutine takes at once; zero if that is not known.
    pub(super) wanted: usize,
    pub(super) exception: Option<Py<PyAny>>,
    pub(super) transport: Option<Py<PyAny>>,
    pub(super) source_traceback: Option<Py<PyAny>>,
    pub(super) eof: bool,
    /// The transport was told not to read.
    pub(super) paused: bool,
    pub(super) plain: Option<Verdict<bool>>,
}

impl State {
    pub(super) const fn new() -> Self {
        Self {
            home: Home::None,
            limit: Limit::default(),
            waiter: None,
            wanted: 0,
            exception: None,
            transport: None,
            source_traceback: None,
            eof: false,
            paused: false,
            plain: None,
        }
    }
}

/// What is called through Python unless it is ours.
pub(super) const METHODS: [&str; 9] = [
    "exception",
    "feed_data",
    "feed_eof",
    "read",
    "readline",
    "readuntil",
    "_maybe_resume_transport",
    "_wait_for_data",
    "_wakeup_waiter",
];

pub(super) static ORIGINALS: PyOnceLock<Attributes> = PyOnceLock::new();

/// Remembers the methods of the class as they are now.
///
/// # Errors
/// `MemoryError`.
pub(in crate::stream) fn remember_methods(py: Python<'_>) -> PyResult<()> {
    ORIGINALS.find(py, || Attributes::of(&py.get_type::<StreamReader>(), &METHODS)).map(drop)
}

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl StreamReader {
    pub(super) fn new() -> Self {
        Self { buffer: Buffer::new(), state: AttachedCell::new(State::new()) }
    }

    /// A reader of `event_loop`.
    ///
    /// # Errors
    /// `ValueError` unless the limit is positive, `TypeError` if it is no number.
    pub(in crate::stream) fn create<'py>(
        py: Python<'py>,
        limit: Option<&Bound<'py, PyAny>>,
        event_loop: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let reader = Bound::new(py, Self::new())?;
        Self::begin(&reader, limit, event_loop)?;
        Ok(reader)
    }

    /// What every `__init__` does: a second call starts the object over.
    pub(super) fn begin(
        slf: &Bound<'_, Self>,
        limit: Option<&Bound<'_, PyAny>>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        instance_dict::drop_unused(slf.as_any());
        let limit = limit.map_or(Ok(Limit::default()), Limit::of)?;
        slf.get().buffer.forget(py);
        let fresh = State { limit, home: Home::of(event_loop), ..State::new() };
        drop(slf.get().state.replace(py, fresh));
        let source = stack_in_debug_mode(event_loop)?;
        drop(
            slf.get()
                .state
                .with(py, |state| std::mem::replace(&mut state.source_traceback, source)),
        );
        Ok(())
    }

    /// Whether every method that native code leaves out is ours.
    #[inline]
    pub(in crate::stream) fn is_plain(slf: &Bound<'_, Self>) -> bool {
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

    /// The loop.
    ///
    /// # Errors
    /// `AttributeError` before `__init__` has run.
    pub(super) fn event_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get()
            .state
            .with(py, |state| state.home.object().map(|object| object.clone_ref(py)))
            .map(|object| object.into_bound(py))
            .ok_or_else(|| missing(slf, "_loop"))
    }

    /// The exception that every read raises.
    #[inline]
    pub(in crate::stream) fn failure<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.exception.clone_ref(py)).map(|error| error.into_bound(py))
    }

    pub(super) fn transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state
            .with(py, |state| state.transport.clone_ref(py))
            .map(|transport| transport.into_bound(py))
    }

    /// `set_transport(transport)`.
    ///
    /// # Errors
    /// `AssertionError` if it has one.
    pub(in crate::stream) fn attach(
        slf: &Bound<'_, Self>,
        transport: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let transport = Some(transport.clone().unbind()).filter(|_| !transport.is_none());
        let refused = slf.get().state.with(slf.py(), |state| {
            if state.transport.is_some() {
                return Some(transport);
            }
            state.transport = transport;
            None
        });
        match refused {
            Some(_) => Err(fresh::error::<PyAssertionError>("Transport already set")),
            None => Ok(()),
        }
    }

    /// How much of the next piece is asked for at once; zero if that is not known.
    #[inline]
    pub(crate) fn wanted(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.wanted)
    }

    /// Whether the next piece is kept as the object it is.
    #[inline]
    pub(crate) fn keeps_whole(&self, py: Python<'_>) -> bool {
        self.buffer.keeps_whole(py)
    }

    /// Takes in a piece that came and is not empty. For plain readers.
    ///
    /// # Errors
    /// Those of [`StreamReader::feed_copy`].
    pub(crate) fn feed(slf: &Bound<'_, Self>, piece: &Bound<'_, PyBytes>) -> PyResult<()> {
        slf.get().refuse_after_eof(slf.py())?;
        slf.get().buffer.push(piece)?;
        Self::fed(slf)
    }

    /// Takes in two pieces that came at once. The buffer must be one that keeps them. For plain readers.
    ///
    /// # Errors
    /// Those of [`StreamReader::feed_copy`].
    pub(crate) fn feed_pair(
        slf: &Bound<'_, Self>,
        first: &Bound<'_, PyBytes>,
        second: &Bound<'_, PyBytes>,
    ) -> PyResult<()> {
        slf.get().refuse_after_eof(slf.py())?;
        slf.get().buffer.push_pair(first, second);
        Self::fed(slf)
    }

    /// Copies a piece that came and is not empty. For plain readers.
    ///
    /// # Errors
    /// `AssertionError` after the end, `BufferError` if somebody has a view of the buffer; what the
    /// transport raises when it is to pause.
    pub(crate) fn feed_copy(slf: &Bound<'_, Self>, piece: &[u8]) -> PyResult<()> {
        slf.get().refuse_after_eof(slf.py())?;
        slf.get().buffer.extend(slf.py(), piece)?;
        Self::fed(slf)
    }

    /// Has `receive` read behind what is there, and takes that in; `None` if the buffer is not one to
    /// read into. For plain readers.
    ///
    /// # Errors
    /// Those of [`StreamReader::feed_copy`].
    pub(crate) fn feed_directly(
        slf: &Bound<'_, Self>,
        room: usize,
        receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> Received,
    ) -> PyResult<Option<Received>> {
        let py = slf.py();
        if slf.get().state.with(py, |state| state.eof) {
            return Ok(None);
        }
        let received = slf.get().buffer.receive(py, room, receive);
        if let Some(Received::Data(_)) = received {
            Self::fed(slf)?;
        }
        Ok(received)
    }

    /// Takes out all that is there, for somebody else who is to have it.
    ///
    /// # Errors
    /// `BufferError` if somebody has a view of the buffer.
    pub(crate) fn take_all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.buffer.take(py, usize::MAX)
    }

    pub(super) fn refuse_after_eof(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.with(py, |state| state.eof) {
            return Err(fresh::error::<PyAssertionError>("feed_data after feed_eof"));
        }
        Ok(())
    }

    /// What follows when the buffer has grown.
    pub(super) fn fed(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::wake(slf)?;
        let py = slf.py();
        let length = as_limit(slf.get().buffer.len(py));
        let transport = slf.get().state.with(py, |state| {
            if state.paused || length <= state.limit.high() {
                return None;
            }
            state.transport.clone_ref(py)
        });
        let Some(transport) = transport else { return Ok(()) };
        match transport.call_method0(py, intern!(py, "pause_reading")) {
            Ok(_) => {
                slf.get().state.with(py, |state| state.paused = true);
                Ok(())
            }
            // It can't, and is not asked again.
            Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {
                drop(slf.get().state.with(py, |state| state.transport.take()));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Wakes whoever waits, by the method if that is not ours.
    pub(super) fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::is_plain(slf) {
            return slf.get().wake_natively(slf.py());
        }
        slf.call_method0(intern!(slf.py(), "_wakeup_waiter")).map(drop)
    }

    pub(super) fn wake_natively(&self, py: Python<'_>) -> PyResult<()> {
        let Some(waiter) = self.state.with(py, |state| state.waiter.take()) else { return Ok(()) };
        let woken = match waiter.is_cancelled(py) {
            Ok(false) => waiter.set_result(py, py.None()),
            cancelled => cancelled.map(drop),
        };
        waiter.release(py);
        woken
    }

    /// The stream has ended.
    pub(in crate::stream) fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| state.eof = true);
        Self::wake(slf)
    }

    /// Every read raises `error` from now on, the one under way first.
    pub(in crate::stream) fn fail(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let kept = Some(error.clone().unbind()).filter(|_| !error.is_none());
        let (old, waiter) = slf
            .get()
            .state
            .with(py, |state| (std::mem::replace(&mut state.exception, kept), state.waiter.take()));
        drop(old);
        let Some(waiter) = waiter else { return Ok(()) };
        if waiter.is_cancelled(py)? {
            return Ok(());
        }
        waiter.set_exception(error)
    }

    /// Has the transport go on if the buffer is short again, by the method if that is not ours.
    #[inline]
    pub(super) fn maybe_resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::is_plain(slf) {
            return Self::maybe_resume_natively(slf);
        }
        slf.call_method0(intern!(slf.py(), "_maybe_resume_transport")).map(drop)
    }

    #[inline]
    pub(super) fn maybe_resume_natively(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().state.with(py, |state| state.paused) {
            return Ok(());
        }
        let length = as_limit(slf.get().buffer.len(py));
        if slf.get().state.with(py, |state| length <= state.limit.low()) {
            return Self::resume(slf);
        }
        Ok(())
    }

    /// Has the transport, which is paused, go on.
    pub(super) fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().state.with(py, |state| state.paused = false);
        let none = || py.None().into_bound(py);
        let transport = slf.get().transport(py).unwrap_or_else(none);
        transport.call_method0(intern!(py, "resume_reading")).map(drop)
    }

    /// A future for whoever is to wait in `method`.
    ///
    /// # Errors
    /// `RuntimeError` if somebody waits already, `AssertionError` after the end.
    pub(super) fn begin_wait(
        slf: &Bound<'_, Self>,
        method: &str,
        wanted: usize,
    ) -> PyResult<Waiter> {
        let py = slf.py();
        let (waited_for, eof, paused) =
            slf.get().state.with(py, |state| (state.waiter.is_some(), state.eof, state.paused));
        if waited_for {
            let message = fresh::text(format_args!(
                "{method}() called while another coroutine is already waiting for incoming data"
            ))?;
            return Err(fresh::error::<PyRuntimeError>(message));
        }
        if eof {
            return Err(fresh::error::<PyAssertionError>("_wait_for_data after EOF"));
        }
        if paused {
            Self::resume(slf)?;
        }
        let native = slf.get().state.with(py, |state| match &state.home {
            Home::Native(native) => Some(native.clone_ref(py)),
            _ => None,
        });
        let waiter = match native {
            Some(native) => Waiter::of_native(&native.into_bound(py))?,
            None => Waiter::create(&Self::event_loop(slf)?)?,
        };
        let kept = waiter.clone_ref(py);
        drop(slf.get().state.with(py, |state| {
            state.wanted = wanted;
            state.waiter.replace(kept)
        }));
        Ok(waiter)
    }

    /// The wait is over, whichever way.
    #[inline]
    pub(super) fn end_wait(&self, py: Python<'_>) {
        drop(self.state.with(py, |state| {
            state.wanted = 0;
            state.waiter.take()
        }));
    }
}

/// A length as limits are compared with.
pub(super) fn as_limit(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The error for an attribute that `__init__` would have set.
pub(in crate::stream) fn missing(slf: &Bound<'_, PyAny>, name: &str) -> PyErr {
    let class = slf.get_type();
    let class = class.name().map_or_else(|_| String::from("object"), |class| class.to_string());
    fresh::error_saying::<PyAttributeError>(format_args!(
        "'{class}' object has no attribute '{name}'"
    ))
}

/// The standard class, or ours, or one derived from either.
pub(in crate::stream) fn is_reader(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if object.is_instance_of::<StreamReader>() {
        return Ok(true);
    }
    let standard = &crate::standard::Standard::get(object.py())?.stream_reader;
    object.is_instance(standard.bind(object.py()).cast::<PyType>()?)
}

drops_its_dictionary!(StreamReader);
