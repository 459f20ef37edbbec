//! `DatagramTransport`: a datagram socket between the loop and a protocol.
//!
//! # Who owns the descriptor
//!
//! The engine's `DatagramSocket` does, and closes it once. The Python socket that it came from
//! shares the number: it is kept from closing it while the transport lives, and detached just
//! before the descriptor is closed.
//!
//! # States
//!
//! | state | `closing` | `losses` | reading | left by |
//! | --- | --- | --- | --- | --- |
//! | opened | no | 0 | no | `Happening::Open`: `connection_made`, then reading |
//! | connected | no | 0 | unless paused | `close`, `abort`, an error that is not the network's |
//! | draining | yes | 0 | no | an empty queue, `abort` |
//! | losing | yes | ≥ 1 | no | `Happening::Lost`: `connection_lost`, then the descriptor closes |
//! | closed | yes | ≥ 1 | no | – |
//!
//! # When datagrams leave
//!
//! At once, within `sendto`, as under asyncio. The exception: where the callbacks of this endpoint have
//! sent several datagrams each, all but a callback's first are held until the turn ends, or 64
//! callbacks have run (see `Loop::send_now`), and leave in one system call. They leave sooner when many or
//! much have gathered, when one is large, when something asks for the state of the queue or the
//! socket, before a fork, and when the callback goes on for more than a moment
//! ([`ouroloop::net::held`]). A datagram whose destination only Python's socket module understands is sent by the
//! Python socket, in its turn.
//!
//! # When datagrams come
//!
//! One read brings several, and the protocol is told of them one after the other. When it pauses in
//! between, or leaves the loop by an exception, the rest is kept as objects and delivered before
//! anything newer is read. When it closes in between, the rest goes where the kernel would have
//! let it go with the socket.
//!
//! # Errors
//!
//! The network's go to `error_received`, one for each datagram, and change nothing else. It is
//! called where the error is found: in the transport's context from the loop, in the caller's from
//! within a method; there, what it raises is the caller's.

mod class;
mod closing;
mod news;
mod object;
mod peers;
mod receive;
mod send;

use pyo3::prelude::*;

use crate::native::{instance_dict, slots};

pub(crate) use object::DatagramTransport;

/// Makes the class complete.
pub(crate) fn install(py: Python<'_>) {
    instance_dict::install::<DatagramTransport>(py);
    slots::install_deallocate::<DatagramTransport>(py);
}
