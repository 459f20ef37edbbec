//! Flow control: who writes waits while the transport has enough.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyAssertionError, PyConnectionResetError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::StreamReaderProtocol;
use crate::coroutine::{Body, Incoming};
use crate::interpreter::fresh;
use crate::native::slots::Resumed;
use crate::standard::Standard;
use crate::waiting::{Waiter, Waiting};

impl StreamReaderProtocol {
    /// Whether there is nothing to wait for before more is written.
    #[inline]
    pub(in crate::stream) fn flows(slf: &Bound<'_, Self>) -> bool {
        Self::is_plain(slf)
            && slf.get().state.with(slf.py(), |state| !state.paused && !state.connection_lost)
    }

    /// `pause_writing()` or `resume_writing()`.
    ///
    /// # Errors
    /// `AssertionError` if it was called before.
    pub(super) fn set_paused(slf: &Bound<'_, Self>, paused: bool) -> PyResult<()> {
        let py = slf.py();
        let before = slf.get().state.with(py, |state| std::mem::replace(&mut state.paused, paused));
        if before == paused {
            return Err(PyAssertionError::new_err(()));
        }
        let event_loop = Self::event_loop(slf)?;
        if event_loop.call_method0(intern!(py, "get_debug"))?.is_truthy()? {
            let format = if paused { "%r pauses writing" } else { "%r resumes writing" };
            Standard::get(py)?.logger.bind(py).call_method1(intern!(py, "debug"), (format, slf))?;
        }
        if paused { Ok(()) } else { Self::wake_writers(slf, None) }
    }

    /// Wakes everybody who waits to write, with the error that has ended the connection.
    pub(super) fn wake_writers(
        slf: &Bound<'_, Self>,
        error: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(waiters) = slf.get().part(py, |state| &state.drain_waiters) else {
            return Ok(());
        };
        for waiter in waiters.try_iter()? {
            let waiter = Waiter::of(waiter?);
            if waiter.is_done(py)? {
                continue;
            }
            match error {
                None => waiter.set_result(py, py.None())?,
                Some(error) => waiter.set_exception(error)?,
            }
        }
        Ok(())
    }

    /// The `deque` of those who wait to write.
    pub(super) fn writers<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(waiters) = slf.get().part(py, |state| &state.drain_waiters) {
            return Ok(waiters);
        }
        let waiters = Standard::get(py)?.deque.bind(py).call0()?;
        let kept = waiters.clone().unbind();
        drop(slf.get().state.with(py, |state| state.drain_waiters.replace(kept)));
        Ok(waiters)
    }
}

/// `await protocol._drain_helper()`.
pub(super) struct DrainHelper {
    protocol: Py<StreamReaderProtocol>,
    waiting: Option<Waiting>,
}

impl DrainHelper {
    pub(super) fn new(protocol: &Bound<'_, StreamReaderProtocol>) -> Self {
        Self { protocol: protocol.clone().unbind(), waiting: None }
    }

    /// A place among those who wait; `None` if there is nothing to wait for.
    fn begin(protocol: &Bound<'_, StreamReaderProtocol>) -> PyResult<Option<Waiting>> {
        let py = protocol.py();
        let (lost, paused) =
            protocol.get().state.with(py, |state| (state.connection_lost, state.paused));
        if lost {
            return Err(fresh::error::<PyConnectionResetError>("Connection lost"));
        }
        if !paused {
            return Ok(None);
        }
        let waiter = Waiter::create(&StreamReaderProtocol::event_loop(protocol)?)?;
        let writers = StreamReaderProtocol::writers(protocol)?;
        writers.call_method1(intern!(py, "append"), (waiter.bind(py),))?;
        Ok(Some(Waiting::new(waiter)))
    }
}

impl Body for DrainHelper {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let protocol = self.protocol.bind(py);
        if self.waiting.is_none() {
            match Self::begin(protocol) {
                Ok(Some(waiting)) => self.waiting = Some(waiting),
                Ok(None) => return Resumed::Returned(py.None()),
                Err(error) => return Resumed::Raised(error),
            }
        }
        let Some(waiting) = &mut self.waiting else { return Resumed::Returned(py.None()) };
        let resumed = waiting.step(py, incoming);
        if let Resumed::Yielded(_) = resumed {
            return resumed;
        }
        let left = StreamReaderProtocol::writers(protocol).and_then(|writers| {
            writers.call_method1(intern!(py, "remove"), (waiting.waiter.bind(py),))
        });
        match (left, resumed) {
            (Err(error), _) | (Ok(_), Resumed::Raised(error)) => Resumed::Raised(error),
            (Ok(_), _) => Resumed::Returned(py.None()),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.protocol)?;
        self.waiting.as_ref().map_or(Ok(()), |waiting| waiting.visit(visit))
    }
}
