//! The end of an endpoint.

use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;

use super::{DatagramTransport, Event};
use crate::event_loop::warn_resource;
use crate::instance_dict;
use crate::slots::Deallocate;
use crate::standard::exception_of;
use crate::transport::{descriptor, protocol};

impl DatagramTransport {
    /// Stops reading, sends what waits and then ends the endpoint.
    ///
    /// # Errors
    /// What the protocol raises that is told what came of it.
    pub(super) fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_closing(py) {
            return Ok(());
        }
        Self::flush_unsent(slf)?;
        let was_closing =
            slf.get().state.with(py, |state| std::mem::replace(&mut state.closing, true));
        if was_closing {
            // The protocol closed it when it was told of an error.
            return Ok(());
        }
        Self::stop_reading(slf);
        let drained = slf.get().state.with(py, |state| state.socket.queue().is_empty());
        if drained { Self::lose(slf, None) } else { Ok(()) }
    }

    /// `abort()`: what waits is lost, what the protocol has sent before is not.
    ///
    /// # Errors
    /// What the protocol raises that is told what came of it.
    pub(super) fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::flush_unsent(slf)?;
        Self::force_close(slf, None)
    }

    /// An error that is not the network's ends the endpoint.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`, which leave the loop; `RuntimeError` on a closed one.
    pub(super) fn fatal_error(slf: &Bound<'_, Self>, error: PyErr, message: &str) -> PyResult<()> {
        let py = slf.py();
        if protocol::leaves_loop(py, &error) {
            return Err(error);
        }
        let value = exception_of(py, &error).into_any();
        if let Some(event_loop) = slf.get().event_loop(py) {
            let told = slf.get().protocol(py);
            protocol::report_fatal(&event_loop, slf, told, &error, message)?;
        }
        Self::force_close(slf, Some(value.unbind()))
    }

    fn force_close(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let dropped = slf.get().state.with(py, |state| {
            if state.losses > 0 {
                return None;
            }
            state.closing = true;
            Some((state.socket.take_queue(), std::mem::take(&mut state.undelivered)))
        });
        let Some(dropped) = dropped else { return Ok(()) };
        drop(dropped);
        Self::stop_reading(slf);
        Self::lose(slf, error)
    }

    /// Schedules the endpoint's last callback.
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
        Self::push(slf, &event_loop, Event::Lost);
        Ok(())
    }

    /// Tells the protocol that the endpoint has ended and closes the descriptor.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(super) fn on_lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let error = slf.get().state.with(py, |state| state.error.take());
        let reported = Self::tell(slf, "connection_lost", (error,));
        let closed = Self::release(slf);
        drop(slf.get().state.with(py, |state| {
            (
                state.protocol.take(),
                state.event_loop.take(),
                state.waiter.take(),
                std::mem::take(&mut state.undelivered),
            )
        }));
        reported.and(closed)
    }

    /// Closes the descriptor, once, whoever shares it.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (fd, python_socket) =
            slf.get().state.with(py, |state| (state.fd, state.python_socket.take()));
        if let Some(event_loop) = slf.get().event_loop(py) {
            event_loop.get().remove_transport(py, fd);
        }
        let open = match &python_socket {
            // The number is ours alone from here on.
            Some(python_socket) => descriptor::detach(python_socket.bind(py))?,
            None => true,
        };
        if let Some(owned) = slf.get().state.with(py, |state| state.socket.take_fd()) {
            descriptor::close(owned, open);
        }
        Ok(())
    }
}

impl Deallocate for DatagramTransport {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.socket.fd().is_some())
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
        for result in [warned, Self::release(slf)] {
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
