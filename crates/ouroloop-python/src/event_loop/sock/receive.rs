//! `sock_recv`, `sock_recv_into`, `sock_recvfrom`, `sock_recvfrom_into`.

use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};

use ouroloop::net::{Received, transfer};
use pyo3::PyTraverseError;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt};

use super::operation::Attempt;
use super::socket::{by_method, plain_descriptor};
use super::wait::Direction;
use crate::errors::os_error::os_error;
use crate::interpreter::fresh;
use crate::interpreter::room::no_memory;
use crate::transport::bytes::{LARGE_READ, LARGEST_READ, Room};
use crate::turn::Loop;

/// `socket.recv(size)`.
pub(super) struct Receive {
    pub(super) size: Py<PyAny>,
}

impl Attempt for Receive {
    const DIRECTION: Direction = Direction::Read;

    #[inline]
    fn attempt<'py>(
        &mut self,
        event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        let size = self.size.bind(py);
        if let Some(fd) = plain_descriptor(socket)?
            && let Some(size) = positive(size)
        {
            return Ok(receive(event_loop, fd, size)?.map(Bound::into_any));
        }
        by_method(socket, intern!(py, "recv"), &fresh::tuple(py, [size])?)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.size)
    }
}

/// A size that needs no word of the socket's own method.
fn positive(size: &Bound<'_, PyAny>) -> Option<usize> {
    let size = size.cast_exact::<PyInt>().ok()?.extract().ok()?;
    (size > 0).then_some(size)
}

fn receive<'py>(
    event_loop: &Bound<'py, Loop>,
    fd: RawFd,
    size: usize,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    // SAFETY: `plain_descriptor` has found the number in an open socket object, which nobody can
    // close meanwhile: no Python code runs until the call is over.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let expected = event_loop.get().received.with(event_loop.py(), |received| *received);
    if size > LARGEST_READ || (size > LARGE_READ && expected > LARGE_READ) {
        receive_in_place(event_loop, fd, size)
    } else {
        receive_by_scratch(event_loop, fd, size)
    }
}

/// Through the loop's own buffer into a `bytes` of the right size.
fn receive_by_scratch<'py>(
    event_loop: &Bound<'py, Loop>,
    fd: BorrowedFd<'_>,
    size: usize,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = event_loop.py();
    let mut scratch = event_loop.get().scratch.replace(py, Vec::new());
    scratch.clear();
    scratch.try_reserve(size).map_err(|_| no_memory(py))?;
    let received = transfer::receive(fd, &mut scratch.spare_capacity_mut()[..size]);
    let bytes = match received {
        Received::Data(length) => {
            // SAFETY: the call has initialised this many bytes.
            unsafe { scratch.set_len(length) };
            event_loop.get().received.set(py, length);
            fresh::bytes(py, &scratch).map(Some)
        }
        received => no_data(py, received),
    };
    drop(event_loop.get().scratch.replace(py, scratch));
    bytes
}

/// Straight into a `bytes`, which is cut to size after.
fn receive_in_place<'py>(
    event_loop: &Bound<'py, Loop>,
    fd: BorrowedFd<'_>,
    size: usize,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = event_loop.py();
    let mut room = Room::new(py, size)?;
    match transfer::receive(fd, room.content()) {
        Received::Data(length) => {
            event_loop.get().received.set(py, length);
            room.finish(length).map(Some)
        }
        received => no_data(py, received),
    }
}

/// The end of the stream, a wait, or an error.
fn no_data(py: Python<'_>, received: Received) -> PyResult<Option<Bound<'_, PyBytes>>> {
    match received {
        Received::Data(_) | Received::Eof => Ok(Some(fresh::bytes(py, b"")?)),
        Received::WouldBlock => Ok(None),
        Received::Failed(error) => Err(os_error(py, &error)),
    }
}

/// `socket.recv_into(buffer)`.
pub(super) struct ReceiveInto {
    pub(super) buffer: Py<PyAny>,
}

impl Attempt for ReceiveInto {
    const DIRECTION: Direction = Direction::Read;

    fn attempt<'py>(
        &mut self,
        _event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        let buffer = self.buffer.bind(py);
        // What is no writable memory is for the method to refuse.
        let room = PyUntypedBuffer::get(buffer).ok();
        let room =
            room.filter(|room| !room.readonly() && room.is_c_contiguous() && room.len_bytes() > 0);
        // Looked up after the buffer: its exporter may be Python code.
        let (Some(room), Some(fd)) = (room, plain_descriptor(socket)?) else {
            return by_method(socket, intern!(py, "recv_into"), &fresh::tuple(py, [buffer])?);
        };
        // SAFETY: as in `receive`.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        // SAFETY: the buffer is a writable, contiguous piece of memory that its exporter keeps in
        // place while `room` is alive; nothing else runs during the read.
        let memory = unsafe {
            std::slice::from_raw_parts_mut(
                room.buf_ptr().cast::<MaybeUninit<u8>>(),
                room.len_bytes(),
            )
        };
        let received = transfer::receive(fd, memory);
        room.release(py);
        match received {
            Received::Data(length) => Ok(Some(fresh::size(py, length)?.into_any())),
            Received::Eof => Ok(Some(fresh::size(py, 0_usize)?.into_any())),
            Received::WouldBlock => Ok(None),
            Received::Failed(error) => Err(os_error(py, &error)),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.buffer)
    }
}

/// `socket.recvfrom(size)`: the address is the socket module's to write.
pub(super) struct ReceiveFrom {
    pub(super) size: Py<PyAny>,
}

impl Attempt for ReceiveFrom {
    const DIRECTION: Direction = Direction::Read;

    fn attempt<'py>(
        &mut self,
        _event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        by_method(socket, intern!(py, "recvfrom"), &fresh::tuple(py, [&self.size])?)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.size)
    }
}

/// `socket.recvfrom_into(buffer, size)`.
pub(super) struct ReceiveFromInto {
    pub(super) buffer: Py<PyAny>,
    /// Zero stands for the buffer's length.
    pub(super) size: Py<PyAny>,
}

impl Attempt for ReceiveFromInto {
    const DIRECTION: Direction = Direction::Read;

    fn attempt<'py>(
        &mut self,
        _event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        if !self.size.bind(py).is_truthy()? {
            let length = self.buffer.bind(py).len()?;
            self.size = fresh::size(py, length)?.into_any().unbind();
        }
        let arguments = fresh::tuple(py, [&self.buffer, &self.size])?;
        by_method(socket, intern!(py, "recvfrom_into"), &arguments)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.buffer)?;
        visit.call(&self.size)
    }
}
