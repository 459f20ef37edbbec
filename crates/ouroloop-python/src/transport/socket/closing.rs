//! The end of a connection.

use std::sync::OnceLock;

use ouroloop::net::ShutDown;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use super::{SocketTransport, pointer};
use crate::callback::Callback;
use crate::event_loop::warn_resource;
use crate::instance_dict;
use crate::os_error::os_error;
use crate::slots::Deallocate;
use crate::transport::descriptor;
use crate::transport::server::Server;

impl SocketTransport {
    /// Stops reading, writes what waits and then loses the connection.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_closing(py) {
            return Ok(());
        }
        Self::flush_unsent(slf)?;
        let was_closing =
            slf.get().state.with(py, |state| std::mem::replace(&mut state.closing, true));
        if was_closing {
            // The flush found the connection broken.
            return Ok(());
        }
        Self::stop_reading(slf);
        let drained = slf.get().state.with(py, |state| state.stream.queued() == 0);
        if drained { Self::lose(slf, None) } else { Ok(()) }
    }

    /// `abort()`: what waits is lost, what the protocol has written before is not.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::flush_unsent(slf)?;
        Self::force_close(slf, None)
    }

    /// Closes without writing what waits; `error` is for `connection_lost`.
    ///
    /// # Errors
    /// Those of [`SocketTransport::lose`].
    pub(crate) fn force_close(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let lost = slf.get().state.with(py, |state| {
            if state.losses > 0 {
                return None;
            }
            state.closing = true;
            Some(state.stream.take_queue())
        });
        let Some(queue) = lost else { return Ok(()) };
        drop(queue);
        Self::stop_writing(slf);
        Self::stop_reading(slf);
        Self::lose(slf, error)
    }

    /// Schedules the connection's last callback.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop, which would never run it.
    fn lose(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        drop(slf.get().state.with(py, |state| {
            state.losses += 1;
            std::mem::replace(&mut state.error, error)
        }));
        Self::stop_writing(slf);
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        event_loop.get().check_closed(py)?;
        event_loop.get().push(py, Callback::Lost(slf.clone().unbind()));
        Ok(())
    }

    /// Tells the protocol that the connection is lost and closes the descriptor.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn on_lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let error = slf.get().state.with(py, |state| state.error.take());
        let reason = error.as_ref().map(|error| error.clone_ref(py));
        let answer = Self::call_protocol(slf, |protocol| {
            protocol.call_method1(intern!(py, "connection_lost"), (error,)).map(drop)
        });
        let reported = match answer {
            Ok(()) => Ok(()),
            Err(error) => Self::report_callback(slf, "connection_lost", error),
        };
        let refused = Self::refuse_to_lend(slf, reason);
        let closed = Self::release(slf);
        let (server, rest) = slf.get().state.with(py, |state| {
            let rest = (state.protocol.take(), state.event_loop.take(), state.waiter.take());
            (state.server.take(), rest)
        });
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
        slf.get().refuse_inherited(py)?;
        Self::flush_unsent(slf)?;
        let shut = slf.get().state.with(py, |state| {
            if state.closing || std::mem::replace(&mut state.wrote_eof, true) {
                return ShutDown::Already;
            }
            state.stream.shutdown_write()
        });
        match shut {
            ShutDown::Failed(error) => Err(os_error(py, &error)),
            ShutDown::Now | ShutDown::Later | ShutDown::Already => Ok(()),
        }
    }

    /// Sends what waits for the end of the turn: somebody is about to look.
    pub(crate) fn flush_unsent(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().state.with(slf.py(), |state| state.unsent) {
            return Self::flush(slf);
        }
        Ok(())
    }

    /// Closes the descriptor, once, whoever shares it.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (fd, socket, event_loop) = slf.get().state.with(py, |state| {
            let event_loop = state.event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py));
            (state.fd, state.socket.take(), event_loop)
        });
        if let Some(event_loop) = event_loop {
            let event_loop = event_loop.bind(py).get();
            event_loop.remove_transport(py, fd);
            event_loop.end_write_wait(py, fd);
        }
        let open = match &socket {
            // The number is the stream's alone from here on.
            Some(socket) => descriptor::detach(socket.bind(py))?,
            None => true,
        };
        if let Some(owned) = slf.get().state.with(py, |state| state.stream.take_fd()) {
            descriptor::close(owned, open);
        }
        Ok(())
    }
}

impl Deallocate for SocketTransport {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.stream.fd().is_some())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let warned = if slf.get().is_inherited(py) {
            Ok(())
        } else {
            slf.repr().and_then(|shown| {
                warn_resource(slf.as_any(), &format!("unclosed transport {shown}"))
            })
        };
        // Should somebody keep it: it is closed.
        slf.get().state.with(py, |state| {
            state.closing = true;
            state.losses += 1;
        });
        Self::stop_reading(slf);
        Self::stop_writing(slf);
        let released = Self::release(slf);
        if let Some(server) = slf.get().state.with(py, |state| state.server.take()) {
            Server::detach(server.bind(py), pointer(slf));
        }
        for result in [warned, released] {
            if let Err(error) = result {
                error.write_unraisable(py, Some(slf.as_any()));
            }
        }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: instances have a dictionary.
        drop(unsafe { instance_dict::take(slf.as_ptr()) });
    }
}
