//! From a transport to the reader, without a call of Python's.

use std::mem::MaybeUninit;

use ouroloop::net::{Received, Stream};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::protocol::StreamReaderProtocol;
use super::reader::StreamReader;
use crate::transport::bytes::{self, LARGE_READ, LARGEST_READ};
use crate::transport::chunk::Chunk;
use crate::transport::endpoint::SocketEnd as _;
use crate::transport::socket::{READ_FAILED, SocketTransport};
use crate::turn::Loop;

/// The reader that takes what comes for `protocol`, if native code can feed it.
#[inline]
fn receiver<'py>(protocol: &Bound<'py, PyAny>) -> Option<Bound<'py, StreamReader>> {
    StreamReaderProtocol::receiver(protocol.cast::<StreamReaderProtocol>().ok()?)
}

/// `protocol.data_received(data)`, for data that is not empty.
///
/// # Errors
/// What that raises.
#[inline]
pub(super) fn deliver(protocol: &Bound<'_, PyAny>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
    match receiver(protocol) {
        Some(reader) => StreamReader::feed(&reader, data),
        None => protocol.call_method1(intern!(data.py(), "data_received"), (data,)).map(drop),
    }
}

/// A read into the buffer of the reader that takes it, if no method has to be called for that.
pub(super) fn read(slf: &Bound<'_, SocketTransport>, expected: usize) -> PyResult<()> {
    let py = slf.py();
    let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
    let protocol = slf.get().protocol(py);
    let Some(reader) = protocol.and_then(|protocol| receiver(&protocol.into_bound(py))) else {
        return SocketTransport::read_bytes(slf, expected);
    };
    let receive = |room: &mut [MaybeUninit<u8>]| {
        SocketTransport::count_for_later(&event_loop, slf.get().receive(py, room))
    };
    let wanted = reader.get().wanted(py);
    let fed = if !reader.get().keeps_whole(py) {
        match read_behind(&event_loop, &reader, expected, receive) {
            Ok(Received::Data(_)) => Ok(()),
            Ok(received) => return SocketTransport::no_data(slf, received),
            Err(error) => Err(error),
        }
    } else if expected > LARGE_READ && (LARGE_READ..=LARGEST_READ / 2).contains(&wanted) {
        // There is likely more than a coroutine waits for, and that in the same pieces.
        let pair = bytes::read_pair(py, wanted, |first, second| {
            let room = first.len() + second.len();
            let read = |stream: &Stream<Chunk>| stream.receive_into(first, second);
            SocketTransport::count_for_later(&event_loop, slf.get().received(py, room, read))
        });
        match pair {
            Ok(Ok((data, None))) => StreamReader::feed(&reader, &data),
            Ok(Ok((first, Some(second)))) => StreamReader::feed_pair(&reader, &first, &second),
            Ok(Err(received)) => return SocketTransport::no_data(slf, received),
            Err(no_room) => return SocketTransport::fatal_error(slf, no_room, READ_FAILED),
        }
    } else {
        // What a coroutine waits for need not be cut out of a larger piece.
        let most = if wanted > LARGE_READ { wanted.min(LARGEST_READ) } else { LARGEST_READ };
        match bytes::read(&event_loop, expected, most, receive) {
            Ok(Ok(data)) => StreamReader::feed(&reader, &data),
            Ok(Err(received)) => return SocketTransport::no_data(slf, received),
            Err(no_room) => return SocketTransport::fatal_error(slf, no_room, READ_FAILED),
        }
    };
    fed.or_else(|error| SocketTransport::protocol_failed(slf, "data_received", error))
}

/// A read behind what a reader's buffer has: at once where much comes, by way of the loop's own
/// buffer where room for it would be larger than the data.
fn read_behind(
    event_loop: &Bound<'_, Loop>,
    reader: &Bound<'_, StreamReader>,
    expected: usize,
    receive: impl Fn(&mut [MaybeUninit<u8>]) -> Received,
) -> PyResult<Received> {
    if expected > LARGE_READ
        && let Some(received) = StreamReader::feed_directly(reader, LARGEST_READ, &receive)?
    {
        return Ok(received);
    }
    let mut scratch = bytes::Scratch::borrow(event_loop)?;
    let received = receive(scratch.room());
    if let Received::Data(length) = received {
        // SAFETY: the stream has initialised this many bytes.
        StreamReader::feed_copy(reader, unsafe { scratch.filled(length) })?;
    }
    Ok(received)
}
