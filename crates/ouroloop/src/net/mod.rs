//! Non-blocking sockets: what a loop's user needs between a ready descriptor and its bytes.
//!
//! Nothing here knows the loop. The owner of a socket registers its descriptor, calls in when it
//! is ready and acts on the answer; every operation answers an enum that names each outcome and
//! none of them blocks. Each descriptor belongs to exactly one object, which closes it exactly
//! once.

pub mod address;
pub mod connect;
pub mod datagram;
pub(crate) mod drain;
pub mod held;
pub mod listener;
mod scatter;
pub mod sendfile;
pub mod stream;
pub mod transfer;
pub mod watermarks;
pub mod write_queue;

pub use connect::Connecting;
pub use datagram::DatagramSocket;
pub use drain::{FLUSHED_BYTES, Flushed};
pub use held::Holder;
pub use listener::{Accepted, Listener};
pub use stream::{Closed, Pushed, ShutDown, Stream};
pub use transfer::{Received, Sent};
pub use watermarks::{InvalidLimits, Pressure, Watermarks};
pub use write_queue::WriteQueue;

/// The error of the system call that has just failed.
fn last_error() -> rustix::io::Errno {
    let error = std::io::Error::last_os_error();
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
}
