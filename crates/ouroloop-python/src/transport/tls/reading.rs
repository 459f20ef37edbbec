//! From a socket to the machine, without a call of Python's.

use ouroloop::net::Received;
use pyo3::prelude::*;

use super::machine::TlsProtocol;
use crate::interpreter::room::no_memory;
use crate::transport::endpoint::SocketEnd as _;
use crate::transport::socket::{READ_FAILED, SocketTransport};
use crate::turn::SCRATCH_BYTES;

/// A read of ciphertext, which goes from the loop's own buffer to OpenSSL.
pub(super) fn read(slf: &Bound<'_, SocketTransport>, _: usize) -> PyResult<()> {
    let py = slf.py();
    let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
    let mut scratch = event_loop.get().scratch.replace(py, Vec::new());
    scratch.clear();
    if scratch.try_reserve(SCRATCH_BYTES).is_err() {
        return SocketTransport::fatal_error(slf, no_memory(py), READ_FAILED);
    }
    let received = slf.get().receive(py, &mut scratch.spare_capacity_mut()[..SCRATCH_BYTES]);
    // A stream above uses it a turn later; a protocol does not, and is not held up by it either.
    let received = SocketTransport::count_for_later(&event_loop, received);
    let Received::Data(length) = received else {
        drop(event_loop.get().scratch.replace(py, scratch));
        return SocketTransport::no_data(slf, received);
    };
    // SAFETY: the stream has initialised this many bytes.
    unsafe { scratch.set_len(length) };
    SocketTransport::call_protocol(slf, |protocol| {
        // SAFETY: it is called for instances of this class alone.
        let protocol = unsafe { protocol.cast_unchecked::<TlsProtocol>() };
        let absorbed = TlsProtocol::absorb(protocol, &scratch);
        drop(event_loop.get().scratch.replace(py, scratch));
        TlsProtocol::advance(protocol, absorbed?)
    })
    .or_else(|error| SocketTransport::protocol_failed(slf, "buffer_updated", error))
}
