//! From the socket to the protocol.

use std::mem::MaybeUninit;

use ouroloop::net::{Received, Stream};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use super::{Kind, SocketTransport};
use crate::errors::os_error::os_error;
use crate::event_loop::{Loop, SCRATCH_BYTES, log_debug};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::no_memory;
use crate::stream::{self, StreamReader};
use crate::transport::bytes;
use crate::transport::bytes::{LARGE_READ, LARGEST_READ};
use crate::transport::chunk::Chunk;
use crate::transport::endpoint::SocketEnd;
use crate::transport::tls::TlsProtocol;

const READ_FAILED: &str = "Fatal read error on socket transport";

impl SocketTransport {
    /// The descriptor is readable: one read, and the protocol is told.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (watching, kind, expected) = slf
            .get()
            .state
            .with(py, |state| (state.end.watching_reads, state.kind, state.expected));
        if !watching {
            // Paused or closed after the descriptor was found readable.
            return Ok(());
        }
        let done = match kind {
            Kind::Tls => Self::read_for_tls(slf),
            Kind::Buffered => Self::read_into_protocol(slf),
            Kind::Plain => Self::read_bytes(slf, expected),
            Kind::Stream => Self::read_for_stream(slf, expected),
        };
        if done.is_err() {
            // It may not have come to a read.
            slf.get().with(py, |end| end.read_by_levels(py));
        }
        done
    }

    /// A read into a `bytes` of the right size.
    fn read_bytes(slf: &Bound<'_, Self>, expected: usize) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        match bytes::read(&event_loop, expected, LARGEST_READ, |room| slf.get().receive(py, room)) {
            Ok(Ok(data)) => Self::deliver(slf, &data),
            Ok(Err(received)) => Self::no_data(slf, received),
            Err(no_room) => Self::fatal_error(slf, no_room, READ_FAILED),
        }
    }

    /// One read, whose length is remembered.
    fn receive(&self, py: Python<'_>, room: &mut [MaybeUninit<u8>]) -> Received {
        self.received(py, room.len(), |stream| stream.receive(room))
    }

    /// What came of a read into `room` bytes.
    fn received(
        &self,
        py: Python<'_>,
        room: usize,
        read: impl FnOnce(&Stream<Chunk>) -> Received,
    ) -> Received {
        self.state.with(py, |state| {
            let received = read(&state.stream);
            if let Received::Data(length) = received {
                state.expected = length;
                if length == room {
                    state.end.read_by_levels(py);
                }
            }
            received
        })
    }

    /// Has the loop know how much lies there until a task takes it.
    fn count_for_later(event_loop: &Bound<'_, Loop>, received: Received) -> Received {
        if let Received::Data(length) = received {
            event_loop.get().engine.with(event_loop.py(), |engine| engine.read_for_later(length));
        }
        received
    }

    /// A read into the buffer of the reader that takes it, if no method has to be called for that.
    fn read_for_stream(slf: &Bound<'_, Self>, expected: usize) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let protocol = slf.get().protocol(py);
        let Some(reader) = protocol.and_then(|protocol| stream::receiver(protocol.bind(py))) else {
            return Self::read_bytes(slf, expected);
        };
        let receive = |room: &mut [MaybeUninit<u8>]| {
            Self::count_for_later(&event_loop, slf.get().receive(py, room))
        };
        let wanted = reader.get().wanted(py);
        let fed = if !reader.get().keeps_whole(py) {
            match Self::read_behind(&event_loop, &reader, expected, receive) {
                Ok(Received::Data(_)) => Ok(()),
                Ok(received) => return Self::no_data(slf, received),
                Err(error) => Err(error),
            }
        } else if expected > LARGE_READ && (LARGE_READ..=LARGEST_READ / 2).contains(&wanted) {
            // There is likely more than a coroutine waits for, and that in the same pieces.
            let pair = bytes::read_pair(py, wanted, |first, second| {
                let room = first.len() + second.len();
                let read = |stream: &Stream<Chunk>| stream.receive_into(first, second);
                Self::count_for_later(&event_loop, slf.get().received(py, room, read))
            });
            match pair {
                Ok(Ok((data, None))) => StreamReader::feed(&reader, &data),
                Ok(Ok((first, Some(second)))) => StreamReader::feed_pair(&reader, &first, &second),
                Ok(Err(received)) => return Self::no_data(slf, received),
                Err(no_room) => return Self::fatal_error(slf, no_room, READ_FAILED),
            }
        } else {
            // What a coroutine waits for need not be cut out of a larger piece.
            let most = if wanted > LARGE_READ { wanted.min(LARGEST_READ) } else { LARGEST_READ };
            match bytes::read(&event_loop, expected, most, receive) {
                Ok(Ok(data)) => StreamReader::feed(&reader, &data),
                Ok(Err(received)) => return Self::no_data(slf, received),
                Err(no_room) => return Self::fatal_error(slf, no_room, READ_FAILED),
            }
        };
        fed.or_else(|error| Self::protocol_failed(slf, "data_received", error))
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

    /// A read of ciphertext, which goes from the loop's own buffer to OpenSSL.
    fn read_for_tls(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let mut scratch = event_loop.get().scratch.replace(py, Vec::new());
        scratch.clear();
        if scratch.try_reserve(SCRATCH_BYTES).is_err() {
            return Self::fatal_error(slf, no_memory(py), READ_FAILED);
        }
        let received = slf.get().receive(py, &mut scratch.spare_capacity_mut()[..SCRATCH_BYTES]);
        // A stream above uses it a turn later; a protocol does not, and is not held up by it either.
        let received = Self::count_for_later(&event_loop, received);
        let Received::Data(length) = received else {
            drop(event_loop.get().scratch.replace(py, scratch));
            return Self::no_data(slf, received);
        };
        // SAFETY: the stream has initialised this many bytes.
        unsafe { scratch.set_len(length) };
        Self::call_protocol(slf, |protocol| {
            // SAFETY: a protocol of the kind `Tls` is an instance of this class.
            let protocol = unsafe { protocol.cast_unchecked::<TlsProtocol>() };
            let absorbed = TlsProtocol::absorb(protocol, &scratch);
            drop(event_loop.get().scratch.replace(py, scratch));
            TlsProtocol::advance(protocol, absorbed?)
        })
        .or_else(|error| Self::protocol_failed(slf, "buffer_updated", error))
    }

    fn deliver(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        let py = slf.py();
        Self::call_protocol(slf, |protocol| {
            protocol.call_method1(intern!(py, "data_received"), (data,)).map(drop)
        })
        .or_else(|error| Self::protocol_failed(slf, "data_received", error))
    }

    /// A read into memory of a `BufferedProtocol`.
    fn read_into_protocol(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut target = None;
        let got = Self::call_protocol(slf, |protocol| {
            let object = protocol.call_method1(intern!(py, "get_buffer"), (-1,))?;
            if object.len()? == 0 {
                return Err(fresh::error::<PyRuntimeError>(
                    "get_buffer() returned an empty buffer",
                ));
            }
            target = Some(object.unbind());
            Ok(())
        });
        if let Err(error) = got {
            return Self::protocol_failed(slf, "get_buffer", error);
        }
        let Some(target) = target else { return Ok(()) };
        let Ok(target) = writable_bytes(target.bind(py)) else {
            let given = target.bind(py).get_type().name()?;
            let error = fresh::error::<PyTypeError>(format!(
                "recv_into() argument 1 must be read-write bytes-like object, not {given}"
            ));
            return Self::fatal_error(slf, error, READ_FAILED);
        };
        // SAFETY: the buffer is a writable, contiguous piece of memory that its exporter keeps in
        // place while `target` is alive; nothing else runs during the read.
        let room = unsafe {
            std::slice::from_raw_parts_mut(
                target.buf_ptr().cast::<MaybeUninit<u8>>(),
                target.len_bytes(),
            )
        };
        let received = slf.get().receive(py, room);
        drop(target);
        let Received::Data(length) = received else { return Self::no_data(slf, received) };
        Self::call_protocol(slf, |protocol| {
            protocol.call_method1(intern!(py, "buffer_updated"), (length,)).map(drop)
        })
        .or_else(|error| Self::protocol_failed(slf, "buffer_updated", error))
    }

    /// What a read that brought no bytes means.
    fn no_data(slf: &Bound<'_, Self>, received: Received) -> PyResult<()> {
        match received {
            Received::Data(_) | Received::WouldBlock => Ok(()),
            Received::Eof => Self::on_eof(slf),
            Received::Failed(error) => {
                Self::fatal_error(slf, os_error(slf.py(), &error), READ_FAILED)
            }
        }
    }

    fn on_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if let Some(event_loop) = slf.get().event_loop(py)
            && event_loop.get().is_debug(py)
        {
            log_debug(event_loop.get(), py, &format!("{} received EOF", slf.repr()?))?;
        }
        let mut keep_open = false;
        let answer = Self::call_protocol(slf, |protocol| {
            keep_open = protocol.call_method0(intern!(py, "eof_received"))?.is_truthy()?;
            Ok(())
        });
        match answer {
            Err(error) => Self::protocol_failed(slf, "eof_received", error),
            // The protocol goes on writing; there is nothing left to read.
            Ok(()) if keep_open => {
                Self::stop_reading(slf);
                Ok(())
            }
            Ok(()) => Self::close(slf),
        }
    }

    /// A method of the protocol raised, which ends the connection; what the protocol wrote before
    /// that leaves, as it would have under asyncio.
    fn protocol_failed(slf: &Bound<'_, Self>, method: &str, error: PyErr) -> PyResult<()> {
        Self::flush_unsent(slf)?;
        Self::fatal_error(slf, error, &format!("Fatal error: protocol.{method}() call failed."))
    }
}

/// An object's memory, for writing.
pub(crate) fn writable_bytes(object: &Bound<'_, PyAny>) -> PyResult<PyBuffer<u8>> {
    let buffer = if let Ok(buffer) = PyBuffer::<u8>::get(object) {
        buffer
    } else {
        // Any other item type is as good as bytes once it is cast.
        let view =
            PyMemoryView::from(object)?.call_method1(intern!(object.py(), "cast"), (Text("B"),))?;
        PyBuffer::<u8>::get(&view)?
    };
    if buffer.readonly() || !buffer.is_c_contiguous() {
        let message = "read-write bytes-like object expected";
        return Err(fresh::error::<PyTypeError>(message));
    }
    Ok(buffer)
}
