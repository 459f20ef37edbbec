//! Bytes that wait a moment, because whoever wrote them probably writes more.
//!
//! A callback that answers in several writes would make a system call for each. Its loop may hold what it
//! writes back until the turn is over, and then send each connection's in one piece. But the callback may also
//! go on to compute, or wait, for a long time; then what is held leaves all the same, by a thread of this
//! module's own that looks at every loop's [`Holder`]: every millisecond, and after long regular traffic every
//! eight. It needs nothing of the loop, which may be in the middle of anything, and sleeps while nobody holds.
//!
//! 1. A holder has copies of what waits: the queues that it is of stay their owners'.
//! 2. An owner takes back what is held of it ([`Holder::reclaim`]) before it writes, shuts down, gives away or
//!    closes the socket, and before it changes the queue; it is told how much has left meanwhile.
//! 3. The kernel tells of a failure once. An owner is told of it when it takes back what is held.
//! 4. At a fork everything leaves and the thread ends; nothing is held while it does. The parent has another one
//!    made when it holds again; the child may hold by holders that it makes itself, and by those of the loops that it
//!    takes over. It never waits for a lock of its parent's.

mod datagrams;
mod entries;
mod holder;
mod thread;

pub use entries::LARGEST;
pub(crate) use entries::{Left, Ticket};
pub use holder::Holder;
