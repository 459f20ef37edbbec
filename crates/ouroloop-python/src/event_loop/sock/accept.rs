//! `sock_accept`.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use ouroloop::net::Accepted;
use ouroloop::net::listener::accept_batch;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rustix::net::SocketAddrAny;

use super::operation::Attempt;
use super::socket::{by_method, plain_descriptor};
use super::wait::Direction;
use crate::errors::os_error::os_error;
use crate::interpreter::fresh;
use crate::transport::{address, descriptor};
use crate::turn::Loop;

/// So many connections that were aborted are passed over before others have their turn.
const PASSED_OVER: usize = 64;

/// `socket.accept()`, with a connection that does not block.
pub(super) struct Accept;

impl Attempt for Accept {
    const DIRECTION: Direction = Direction::Read;

    fn attempt<'py>(
        &mut self,
        _event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        // There is no flag by which a blocking socket would accept without waiting.
        if plain_descriptor(socket)?.is_none()
            || socket.call_method0(intern!(py, "gettimeout"))?.ne(0)?
        {
            return accept_by_method(socket);
        }
        let Some(fd) = plain_descriptor(socket)? else { return accept_by_method(socket) };
        // SAFETY: the number was found in an open socket object, which nobody can close meanwhile:
        // no Python code runs until the call is over.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        // Connections that went away while they waited are passed over.
        match accept_batch(fd, PASSED_OVER).next() {
            Some(Accepted::Stream(owned, peer)) => {
                connection(socket, owned, peer).map(|pair| Some(pair.into_any()))
            }
            Some(Accepted::OutOfResources(error) | Accepted::Failed(error)) => {
                Err(os_error(py, &error))
            }
            Some(Accepted::Aborted | Accepted::WouldBlock) | None => Ok(None),
        }
    }

    fn visit(&self, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

fn accept_by_method<'py>(socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = socket.py();
    let Some(pair) = by_method(socket, intern!(py, "accept"), &PyTuple::empty(py))? else {
        return Ok(None);
    };
    let (connection, address): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
    connection.call_method1(intern!(py, "setblocking"), (false,))?;
    Ok(Some(fresh::tuple(py, [connection, address])?.into_any()))
}

/// The pair of a new socket object and the peer's address.
fn connection<'py>(
    listener: &Bound<'py, PyAny>,
    owned: OwnedFd,
    peer: Option<SocketAddrAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = listener.py();
    let kind = fresh::dict(py)?;
    for name in [intern!(py, "family"), intern!(py, "type"), intern!(py, "proto")] {
        kind.set_item(name, listener.getattr(name)?)?;
    }
    let connection = descriptor::share(&kind, owned.as_raw_fd(), 0)?;
    descriptor::hand_over(owned);
    let known = peer.map(|peer| address::to_python(py, &peer)).transpose()?.flatten();
    let address = match known {
        Some(address) => address,
        None => connection.call_method0(intern!(py, "getpeername"))?,
    };
    fresh::tuple(py, [connection, address])
}
