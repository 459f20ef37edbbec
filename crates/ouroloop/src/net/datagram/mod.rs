//! A non-blocking datagram socket: one descriptor, and the datagrams that wait to be sent by it.
//!
//! 1. The socket is the only owner of its descriptor and gives it away or closes it once.
//! 2. Datagrams leave in the order in which they were pushed: [`DatagramSocket::send`], which goes
//!    past the queue, is for an empty queue.
//! 3. A datagram fails alone. [`DatagramSocket::flush`] takes it out, answers with its error, and
//!    is to be called again for those behind it. The kernel tells errors of earlier datagrams (a
//!    peer that is not there) by failing a later call: such a call has cost its own datagram
//!    nothing but the chance to be sent, as with any socket.
//! 4. Nothing but a full socket leaves a datagram in the queue. Then the owner watches the
//!    descriptor for writability. A Unix socket that is not connected is always writable, however
//!    full the receiver is: there a watch comes back at once.
//! 5. A read brings as many datagrams as wait, up to [`MOST`](batch::MOST); it asks for not many
//!    more than last time, since the kernel is paid for each that it is asked for.
//! 6. What is held ([`DatagramSocket::hold`]) is taken back before anything else happens to the queue or the
//!    descriptor.
//! 7. The owner watches [`DatagramSocket::fd`] and must stop watching before the socket is closed.

pub mod batch;
mod many;
pub mod queue;
mod socket;

pub use batch::{Batch, Incoming};
pub(super) use many::send_one;
pub use queue::{DatagramQueue, Destination, Outgoing};
pub use socket::{DatagramSocket, Flushed, Received, Sent};
