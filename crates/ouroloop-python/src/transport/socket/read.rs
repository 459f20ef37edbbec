//! From the socket to the protocol.

use std::mem::MaybeUninit;

use ouroloop::net::{Received, Stream};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use super::object::{Delivery, SocketTransport};
use crate::errors::os_error::os_error;
use crate::interpreter::fresh::{self, Text};
use crate::transport::bytes;
use crate::transport::bytes::LARGEST_READ;
use crate::transport::chunk::Chunk;
use crate::transport::endpoint::SocketEnd;
use crate::turn::{Loop, log_debug};

pub(crate) const READ_FAILED: &str = "Fatal read error on socket transport";

impl SocketTransport {
    /// The descriptor is readable: one read, and the protocol is told.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (watching, delivery, expected) = slf
            .get()
            .state
            .with(py, |state| (state.end.watching_reads, state.delivery, state.expected));
        if !watching {
            // Paused or closed after the descriptor was found readable.
            return Ok(());
        }
        let done = match delivery {
            Delivery::Buffered => Self::read_into_protocol(slf),
            Delivery::Plain => Self::read_bytes(slf, expected),
            Delivery::Native(read) => read(slf, expected),
        };
        if done.is_err() {
            // It may not have come to a read.
            slf.get().with(py, |end| end.read_by_levels(py));
        }
        done
    }

    /// A read into a `bytes` of the right size.
    pub(crate) fn read_bytes(slf: &Bound<'_, Self>, expected: usize) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        match bytes::read(&event_loop, expected, LARGEST_READ, |room| slf.get().receive(py, room)) {
            Ok(Ok(data)) => Self::deliver(slf, &data),
            Ok(Err(received)) => Self::no_data(slf, received),
            Err(no_room) => Self::fatal_error(slf, no_room, READ_FAILED),
        }
    }

    /// One read, whose length is remembered.
    pub(crate) fn receive(&self, py: Python<'_>, room: &mut [MaybeUninit<u8>]) -> Received {
        self.received(py, room.len(), |stream| stream.receive(room))
    }

    /// What came of a read into `room` bytes.
    pub(crate) fn received(
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
    pub(crate) fn count_for_later(event_loop: &Bound<'_, Loop>, received: Received) -> Received {
        if let Received::Data(length) = received {
            event_loop.get().engine.with(event_loop.py(), |engine| engine.read_for_later(length));
        }
        received
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
            let error = fresh::error_saying::<PyTypeError>(format_args!(
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
    pub(crate) fn no_data(slf: &Bound<'_, Self>, received: Received) -> PyResult<()> {
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
        if let Some(event_loop) = slf.get().event_loop(py) {
            log_debug(event_loop.get(), py, || {
                fresh::text(format_args!("{} received EOF", slf.repr()?))
            })?;
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
    pub(crate) fn protocol_failed(
        slf: &Bound<'_, Self>,
        method: &str,
        error: PyErr,
    ) -> PyResult<()> {
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
