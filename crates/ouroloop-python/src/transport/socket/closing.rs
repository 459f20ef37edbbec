//! The end of a connection.

use ouroloop::net::ShutDown;
use pyo3::prelude::*;

use super::object::{SocketTransport, pointer};
use crate::errors::os_error::os_error;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::instance_dict;
use crate::native::slots::Deallocate;
use crate::transport::endpoint::{SocketEnd, SocketState};
use crate::transport::failure::Step;
use crate::transport::server::Server;

/// Where asyncio tells a protocol of the end.
const LOST: Step =
    Step("asyncio.selector_events", "_SelectorSocketTransport", "_call_connection_lost");

impl SocketTransport {
    /// Tells the protocol that the connection is lost and closes the descriptor.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn on_lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let error = slf.get().state.with(py, |state| state.end.error.take());
        let reason = error.clone_ref(py);
        let answer = Self::call_protocol(slf, |protocol| {
            protocol.call_method1(intern!(py, "connection_lost"), (error,)).map(drop)
        });
        let report = |error| {
            let reason = reason.clone_ref(py);
            Self::report(slf, LOST, &fresh::pack!(py, reason), error)
        };
        let reported = answer.or_else(report);
        let refused = Self::refuse_to_lend(slf, reason.clone_ref(py));
        // What a program's socket raises is no more than what its protocol raises.
        let closed = Self::release(slf).or_else(report);
        let (server, rest) =
            slf.get().state.with(py, |state| (state.server.take(), state.end.take_references()));
        drop(rest);
        if let Some(server) = server {
            Server::detach(server.bind(py), pointer(slf));
        }
        reported.and(refused).and(closed)
    }

    /// `write_eof()`.
    ///
    /// # Errors
    /// What `shutdown(2)` answers.
    pub(super) fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().claim_loop(py)?;
        Self::flush_unsent(slf)?;
        let shut = slf.get().state.with(py, |state| {
            if state.end.closing || std::mem::replace(&mut state.wrote_eof, true) {
                return ShutDown::Already;
            }
            state.stream.shutdown_write()
        });
        if let Some(event_loop) = slf.get().event_loop(py) {
            event_loop.get().expect_answer(py);
        }
        match shut {
            ShutDown::Failed(error) => Err(os_error(py, &error)),
            ShutDown::Now | ShutDown::Later | ShutDown::Already => Ok(()),
        }
    }
}

impl Deallocate for SocketTransport {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.is_open())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        Self::say_unclosed(slf);
        if let Some(server) = slf.get().state.with(slf.py(), |state| state.server.take()) {
            Server::detach(server.bind(slf.py()), pointer(slf));
        }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: instances have a dictionary.
        unsafe { instance_dict::strip(slf) };
    }
}
