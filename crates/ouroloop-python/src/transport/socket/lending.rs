//! A transport lends its descriptor, so that a file can be sent past its queue.
//!
//! | `lent` | the queue | left by |
//! | --- | --- | --- |
//! | none | any | [`SocketTransport::lend`] |
//! | pending | drains | a flush that drains it; the connection's end, with an error |
//! | done | empty, and takes nothing | [`SocketTransport::take_back`] |
//!
//! Reading is paused as long as it is not none, and `write` is refused.

use std::os::fd::{AsRawFd, RawFd};

use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::prelude::*;

use super::object::SocketTransport;
use crate::future::{Future, Outcome};
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::transport::endpoint::SocketEnd;

impl SocketTransport {
    /// Lends the descriptor once the future that this answers is done; answers, too, whether the
    /// transport was reading.
    ///
    /// # Errors
    /// `RuntimeError` when it is lent already.
    pub(crate) fn lend(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, bool)> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else {
            return Err(fresh::error::<PyConnectionError>("Connection is closed by peer"));
        };
        if slf.get().state.with(py, |state| state.lent.is_some()) {
            return Err(fresh::error::<PyRuntimeError>("Empty waiter is already set"));
        }
        let was_reading = slf.get().state.with(py, |state| !state.end.closing && !state.end.paused);
        slf.get().state.with(py, |state| state.end.paused |= was_reading);
        Self::stop_reading(slf);
        let drained = Future::create(&event_loop)?;
        let kept = drained.clone().unbind();
        drop(slf.get().state.with(py, |state| state.lent.replace(kept)));
        if let Err(error) = Self::flush_unsent(slf).and_then(|()| Self::hand_over(slf)) {
            Self::take_back(slf, was_reading)?;
            return Err(error);
        }
        Ok((drained.into_any().unbind(), was_reading))
    }

    /// Tells whoever waits for the descriptor that the queue has drained, if it has.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop.
    pub(super) fn hand_over(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let drained = slf.get().state.with(py, |state| {
            let waits = !state.end.closing && state.stream.queued() == 0;
            state.lent.as_ref().filter(|_| waits).map(|lent| lent.clone_ref(py))
        });
        match drained {
            Some(drained) if !drained.bind(py).get().is_done(py) => {
                Future::finish(drained.bind(py), Outcome::Result(py.None()))
            }
            _ => Ok(()),
        }
    }

    /// The connection has ended, for `reason` if there is one, before the queue had drained.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop.
    pub(super) fn refuse_to_lend(slf: &Bound<'_, Self>, reason: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let lent = slf.get().state.with(py, |state| state.lent.clone_ref(py));
        let Some(lent) = lent else { return Ok(()) };
        let lent = lent.bind(py);
        if lent.get().is_done(py) {
            return Ok(());
        }
        let reason = reason.unwrap_or_else(|| {
            fresh::error::<PyConnectionError>("Connection is closed by peer")
                .into_value(py)
                .into_any()
        });
        Future::finish_with_error(lent, reason.bind(py))
    }

    /// The descriptor that was lent; `None` once it is closed.
    pub(crate) fn lent_descriptor(&self, py: Python<'_>) -> Option<RawFd> {
        self.state.with(py, |state| state.stream.fd().map(|fd| fd.as_raw_fd()))
    }

    /// Ends the lending; reading goes on if it did before.
    ///
    /// # Errors
    /// Those of watching the descriptor.
    pub(crate) fn take_back(slf: &Bound<'_, Self>, was_reading: bool) -> PyResult<()> {
        let py = slf.py();
        drop(slf.get().state.with(py, |state| {
            if was_reading {
                state.end.paused = false;
            }
            state.lent.take()
        }));
        Self::start_reading(slf)
    }
}
