//! The end of an endpoint.

use pyo3::prelude::*;

use super::object::{DatagramTransport, LOST};
use crate::interpreter::fresh;
use crate::native::instance_dict;
use crate::native::slots::Deallocate;
use crate::transport::endpoint::{SocketEnd, SocketState};

impl DatagramTransport {
    /// Tells the protocol that the endpoint has ended and closes the descriptor.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(super) fn on_lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let error = slf.get().state.with(py, |state| state.end.error.take());
        let reason = fresh::pack!(py, error);
        let reported = Self::tell(slf, "connection_lost", &reason, LOST, &reason);
        // What a program's socket raises is no more than what its protocol raises.
        let closed = Self::release(slf).or_else(|error| Self::report(slf, LOST, &reason, error));
        drop(slf.get().state.with(py, |state| {
            (state.end.take_references(), std::mem::take(&mut state.undelivered))
        }));
        reported.and(closed)
    }
}

impl Deallocate for DatagramTransport {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.is_open())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        Self::say_unclosed(slf);
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: instances have a dictionary.
        unsafe { instance_dict::strip(slf) };
    }
}
