//! `sock_sendall` and `sock_sendto`.

use std::os::fd::BorrowedFd;

use ouroloop::net::{Sent, transfer};
use pyo3::PyTraverseError;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use super::operation::Attempt;
use super::socket::{by_method, plain_descriptor};
use super::wait::Direction;
use crate::errors::os_error::os_error;
use crate::interpreter::fresh;
use crate::turn::Loop;

/// `socket.send(data)` until all of it is sent.
pub(super) struct SendAll {
    data: Py<PyAny>,
    sent: usize,
    /// What `data` exports, from the first attempt on: its owner must not resize it in between.
    memory: Option<PyUntypedBuffer>,
}

impl SendAll {
    pub(super) fn new(data: Py<PyAny>) -> Self {
        Self { data, sent: 0, memory: None }
    }

    fn send_natively(&mut self, socket: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
        let py = socket.py();
        let data = self.data.bind(py);
        let bytes = if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            bytes.as_bytes()
        } else {
            let memory = match &self.memory {
                Some(memory) => memory,
                None => self.memory.insert(PyUntypedBuffer::get(data)?),
            };
            if !memory.is_c_contiguous() {
                return Ok(None);
            }
            if memory.len_bytes() == 0 {
                // Perhaps without an address.
                return Ok(None);
            }
            // SAFETY: contiguous memory that its exporter keeps in place while `memory` is alive;
            // nothing that could write to it runs before the call is over.
            unsafe { std::slice::from_raw_parts(memory.buf_ptr().cast::<u8>(), memory.len_bytes()) }
        };
        // Looked up after the memory: its exporter may be Python code.
        let Some(fd) = plain_descriptor(socket)? else { return Ok(None) };
        // SAFETY: the number was found in an open socket object, which nobody can close meanwhile:
        // no Python code runs until the call is over.
        match transfer::send(unsafe { BorrowedFd::borrow_raw(fd) }, self.rest(bytes)) {
            Sent::Bytes(sent) => {
                self.sent += sent;
                Ok(Some(self.sent >= bytes.len()))
            }
            Sent::WouldBlock => Ok(Some(false)),
            Sent::Failed(error) => Err(os_error(py, &error)),
        }
    }

    fn send_by_method(&mut self, socket: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = socket.py();
        let data = self.data.bind(py);
        let rest = if self.sent == 0 {
            data.clone()
        } else {
            PyMemoryView::from(data)?.as_any().get_item(fresh::slice(py, self.sent, None)?)?
        };
        let sent = by_method(socket, intern!(py, "send"), &fresh::tuple(py, [rest])?)?;
        let length = data.len()?;
        if let Some(sent) = sent {
            let sent = sent.extract::<usize>()?;
            if sent > length.saturating_sub(self.sent) {
                return Err(fresh::error::<PyValueError>("send() returned more than it was given"));
            }
            self.sent += sent;
        }
        Ok(self.sent >= length)
    }

    /// What is left to send. The data may be an object that has become shorter since.
    fn rest<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.sent..).unwrap_or_default()
    }
}

impl Attempt for SendAll {
    const DIRECTION: Direction = Direction::Write;

    #[inline]
    fn attempt<'py>(
        &mut self,
        _event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        let natively =
            if plain_descriptor(socket)?.is_some() { self.send_natively(socket)? } else { None };
        let done = match natively {
            Some(done) => done,
            None => self.send_by_method(socket)?,
        };
        Ok(done.then(|| py.None().into_bound(py)))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.data)
    }
}

/// `socket.sendto(data, address)`: the address is the socket module's to read.
pub(super) struct SendTo {
    pub(super) data: Py<PyAny>,
    pub(super) address: Py<PyAny>,
}

impl Attempt for SendTo {
    const DIRECTION: Direction = Direction::Write;

    fn attempt<'py>(
        &mut self,
        _event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        let arguments = fresh::tuple(py, [&self.data, &self.address])?;
        by_method(socket, intern!(py, "sendto"), &arguments)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.data)?;
        visit.call(&self.address)
    }
}
