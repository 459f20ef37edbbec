//! `SocketTransport`: a stream socket between the loop and a protocol.
//!
//! # Who owns the descriptor
//!
//! The engine's `Stream` does, and closes it once. A Python socket object that shares the
//! number (the one the connection came from, or the one made for `get_extra_info("socket")`) is
//! kept from closing it while the transport lives and detached just before the stream closes it;
//! if its owner closed it for good all the same, the stream forgets the number.
//!
//! # States
//!
//! | state | `closing` | `losses` | reading | left by |
//! | --- | --- | --- | --- | --- |
//! | opened | no | 0 | no | the `Open` callback: `connection_made`, then reading |
//! | connected | no | 0 | unless paused or ended | `close`, an error |
//! | draining | yes | 0 | no | an empty queue, an error, `abort` |
//! | losing | yes | ≥ 1 | no | the `Lost` callback: `connection_lost`, then the descriptor closes |
//! | closed | yes | ≥ 1 | no | – |
//!
//! # When bytes leave
//!
//! At once, unless other callbacks wait in this turn, or those of this connection have a `Habit` of several
//! writes. Then what is written is held until the turn is over or 64 callbacks have run (`Loop::send_now`),
//! until `drain` is called, or until something asks for the state of the queue or the socket; and never for
//! more than some milliseconds ([`ouroloop::net::held`]).

mod class;
mod closing;
mod extra;
mod lending;
mod object;
mod read;
mod write;

pub(crate) use class::install;
pub(crate) use object::{Origin, STREAM_READING, SocketTransport, TLS_READING};
pub(crate) use read::{READ_FAILED, writable_bytes};
