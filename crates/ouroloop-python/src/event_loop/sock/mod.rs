//! The loop's methods on sockets of the user's own: `sock_recv` and its kin.
//!
//! | file | owns |
//! | --- | --- |
//! | `operation.rs` | try, wait, try again: the life of a call |
//! | `wait.rs` | one wait for a descriptor |
//! | `socket.rs` | which objects are sockets of whose methods it is known what they do |
//! | `receive.rs`, `send.rs`, `accept.rs` | what is tried |

mod accept;
mod operation;
mod receive;
mod refused;
mod send;
mod socket;
mod wait;

use pyo3::prelude::*;

use super::Loop;
use crate::coroutine::Coroutine;
use crate::interpreter::fresh;

pub(super) use refused::{check_non_blocking, refuse_ssl_socket};
pub(super) use socket::{descriptor, would_block};
pub(crate) use wait::{DescriptorWait, Direction};

use accept::Accept;
use operation::Operation;
use receive::{Receive, ReceiveFrom, ReceiveFromInto, ReceiveInto};
use send::{SendAll, SendTo};

#[pymethods]
impl Loop {
    /// Receives up to `n` bytes from a socket; none are the end of the stream.
    fn sock_recv<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        n: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Operation::coroutine(slf, "Loop.sock_recv", sock, Receive { size: n })
    }

    /// Receives from a socket into a writable buffer; answers the number of bytes.
    fn sock_recv_into<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        buf: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Operation::coroutine(slf, "Loop.sock_recv_into", sock, ReceiveInto { buffer: buf })
    }

    /// Receives a datagram of up to `bufsize` bytes; answers it with the address it came from.
    fn sock_recvfrom<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        bufsize: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Operation::coroutine(slf, "Loop.sock_recvfrom", sock, ReceiveFrom { size: bufsize })
    }

    /// Receives a datagram into a writable buffer; answers the number of bytes and the address.
    #[pyo3(signature = (sock, buf, nbytes=None), text_signature = "($self, sock, buf, nbytes=0)")]
    fn sock_recvfrom_into<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        buf: Py<PyAny>,
        nbytes: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let size = nbytes
            .map_or_else(|| Ok::<_, PyErr>(fresh::int(slf.py(), 0)?.into_any().unbind()), Ok)?;
        let attempt = ReceiveFromInto { buffer: buf, size };
        Operation::coroutine(slf, "Loop.sock_recvfrom_into", sock, attempt)
    }

    /// Sends all of `data` to a connected socket.
    fn sock_sendall<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        data: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Operation::coroutine(slf, "Loop.sock_sendall", sock, SendAll::new(data))
    }

    /// Sends a datagram to `address`; answers the number of bytes sent.
    fn sock_sendto<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
        data: Py<PyAny>,
        address: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Operation::coroutine(slf, "Loop.sock_sendto", sock, SendTo { data, address })
    }

    /// Accepts a connection of a listening socket; answers it, non-blocking, with its address.
    fn sock_accept<'py>(
        slf: &Bound<'py, Self>,
        sock: Py<PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Operation::coroutine(slf, "Loop.sock_accept", sock, Accept)
    }
}
