//! A non-blocking byte stream: one descriptor, what waits to be written to it, and its half close.
//!
//! | state | descriptor | queue | left by | to |
//! | --- | --- | --- | --- | --- |
//! | `Open` | owned | any | [`Stream::shutdown_write`] | `Finishing` if bytes wait, else `Finished` |
//! | `Finishing` | owned | not empty; takes nothing more | a [`Stream::flush`] that drains it | `Finished` |
//! | `Finished` | owned | empty; takes nothing more | – | – |
//! | any | owned | any | [`Stream::close`], [`Stream::take_fd`], drop | closed: no descriptor, empty queue |
//!
//! 1. The stream is the only owner of its descriptor and gives it away or closes it once.
//! 2. Only [`Stream::flush`] and [`Stream::send`] write, only [`Stream::receive`] reads.
//! 3. Bytes leave in the order in which they were pushed: [`Stream::send`], which goes past the
//!    queue, is for an empty queue.
//! 4. What is held ([`Stream::hold`]) is taken back before anything else happens to the queue or the descriptor.
//! 5. A failed write leaves the queue as it is; the owner closes the stream.
//! 6. The owner watches [`Stream::fd`] and must stop watching before the stream is closed.

use std::collections::{TryReserveError, VecDeque};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, Shutdown};

use crate::net::drain::{Flushed, Sink, drain};
use crate::net::held::{Holder, Left, Ticket};
use crate::net::scatter;
use crate::net::transfer::{Received, SEND_FLAGS, Sent, read, receive, send, send_once};
use crate::net::write_queue::WriteQueue;

/// What came of queueing a chunk.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed<B> {
    /// It waits for the next flush.
    Queued,
    /// The stream is shut down for writing, or closed; the chunk is handed back.
    Refused(B),
}

/// What came of a half close.
#[derive(Debug)]
#[must_use]
pub enum ShutDown {
    /// The peer will see the end of the stream now.
    Now,
    /// The peer will see it once what waits has been flushed.
    Later,
    /// It was shut down before, or the stream is closed.
    Already,
    /// The kernel refused.
    Failed(io::Error),
}

/// What came of closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// This call closed the descriptor.
    Now,
    /// An earlier call closed it or gave it away.
    Already,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteHalf {
    Open,
    Finishing,
    Finished,
}

/// A connected, non-blocking stream socket and the chunks of type `B` that wait to be written.
///
/// Dropping it closes the descriptor and drops what waits.
///
/// ```
/// use std::os::fd::OwnedFd;
/// use std::os::unix::net::UnixStream;
/// use ouroloop::net::{Flushed, Pushed, Received, Stream};
///
/// # fn main() -> std::io::Result<()> {
/// let (near, far) = UnixStream::pair()?;
/// let mut near = Stream::adopt(OwnedFd::from(near))?;
/// let far: Stream<Vec<u8>> = Stream::adopt(OwnedFd::from(far))?;
///
/// assert_eq!(near.push("hello "), Pushed::Queued);
/// assert_eq!(near.push("world"), Pushed::Queued);
/// assert!(matches!(near.flush(), Flushed::Drained));
///
/// let mut buffer = [std::mem::MaybeUninit::uninit(); 64];
/// assert!(matches!(far.receive(&mut buffer), Received::Data(11)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stream<B> {
    fd: Option<OwnedFd>,
    queue: WriteQueue<B>,
    write_half: WriteHalf,
    /// Who has a copy of the queue as it was; nobody may change it before that is taken back.
    held: Option<(Holder, Ticket)>,
    /// What was held has waited so long that it left by itself.
    waited_long: bool,
    /// What it met then, for the next flush to tell.
    failure: Option<io::Error>,
}

fn closed() -> io::Error {
    Errno::BADF.into()
}

impl<B: AsRef<[u8]>> Stream<B> {
    /// A stream on a connected socket that is non-blocking already, as an accepted one is.
    #[must_use]
    pub const fn new(fd: OwnedFd) -> Self {
        Self {
            fd: Some(fd),
            queue: WriteQueue::new(),
            write_half: WriteHalf::Open,
            held: None,
            waited_long: false,
            failure: None,
        }
    }

    /// A stream on any connected socket, which becomes non-blocking and closed on exec.
    ///
    /// # Errors
    /// The kernel's; the descriptor is closed then.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        Ok(Self::new(fd))
    }

    /// The descriptor, to be watched; `None` once closed.
    #[inline]
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// How many bytes wait to be written.
    #[inline]
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queue.len_bytes()
    }

    /// Whether a chunk would be taken: neither shut down for writing nor closed.
    #[inline]
    #[must_use]
    pub fn takes_chunks(&self) -> bool {
        self.write_half == WriteHalf::Open && self.fd.is_some()
    }

    /// Reads what is there into `buffer`; an empty buffer receives no data, which is not the end.
    #[inline]
    pub fn receive(&self, buffer: &mut [MaybeUninit<u8>]) -> Received {
        let Some(fd) = &self.fd else { return Received::Failed(closed()) };
        receive(fd, buffer)
    }

    /// Like [`Stream::receive`], into `first` and, what does not fit, into `second`.
    #[inline]
    pub fn receive_into(
        &self,
        first: &mut [MaybeUninit<u8>],
        second: &mut [MaybeUninit<u8>],
    ) -> Received {
        let Some(fd) = &self.fd else { return Received::Failed(closed()) };
        read(fd.as_fd(), first.len() + second.len(), |fd| {
            scatter::receive(fd, [&mut *first, &mut *second])
        })
    }

    /// Like [`Stream::receive`], for a buffer that holds bytes already.
    #[inline]
    pub fn receive_over(&self, buffer: &mut [u8]) -> Received {
        let Some(fd) = &self.fd else { return Received::Failed(closed()) };
        read(fd.as_fd(), buffer.len(), |fd| {
            rustix::net::recv(fd, &mut *buffer, RecvFlags::DONTWAIT).map(|(n, _)| n)
        })
    }

    /// Writes `bytes` past the queue, which must be empty: the path on which nothing is copied
    /// or allocated. What the kernel did not take is the caller's to push.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> Sent {
        debug_assert!(self.queue.is_empty(), "bytes would overtake those that wait");
        let Some(fd) = &self.fd else { return Sent::Failed(closed()) };
        send(fd, bytes)
    }

    /// Makes sure that there is room for one more chunk to wait.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    #[inline]
    pub fn reserve(&mut self) -> Result<(), TryReserveError> {
        self.queue.reserve()
    }

    /// Queues a chunk; [`Stream::flush`] writes it.
    #[inline]
    pub fn push(&mut self, chunk: B) -> Pushed<B> {
        if !self.takes_chunks() {
            return Pushed::Refused(chunk);
        }
        self.queue.push(chunk);
        Pushed::Queued
    }

    /// Writes what waits, many chunks with one system call, until nothing waits, the kernel has no
    /// room, or about [`FLUSHED_BYTES`](crate::net::FLUSHED_BYTES) are written.
    ///
    /// When it answers [`Flushed::Blocked`], the descriptor is to be watched for writability; a
    /// level-triggered watch comes back at once if the kernel still has room.
    pub fn flush(&mut self) -> Flushed {
        self.reclaim();
        if let Some(error) = self.failure.take() {
            return Flushed::Failed(error);
        }
        let Some(fd) = &self.fd else { return Flushed::Failed(closed()) };
        match drain(&mut self.queue, &Socket(fd.as_fd())) {
            Flushed::Drained => {}
            unfinished => return unfinished,
        }
        if self.write_half == WriteHalf::Finishing {
            self.write_half = WriteHalf::Finished;
            match rustix::net::shutdown(fd, Shutdown::Write) {
                // What waited was written, and the reader will hear of a reset since.
                Ok(()) | Err(Errno::NOTCONN) => {}
                Err(error) => return Flushed::Failed(error.into()),
            }
        }
        Flushed::Drained
    }

    /// Ends the stream for the peer, once everything that waits has been flushed. `ENOTCONN` if the
    /// peer has reset it.
    pub fn shutdown_write(&mut self) -> ShutDown {
        self.reclaim();
        let Some(fd) = &self.fd else { return ShutDown::Already };
        if self.write_half != WriteHalf::Open {
            return ShutDown::Already;
        }
        if !self.queue.is_empty() {
            self.write_half = WriteHalf::Finishing;
            return ShutDown::Later;
        }
        self.write_half = WriteHalf::Finished;
        match rustix::net::shutdown(fd, Shutdown::Write) {
            Ok(()) => ShutDown::Now,
            Err(error) => ShutDown::Failed(error.into()),
        }
    }

    /// Gives up on what waits and hands the chunks to the caller, who decides when they are
    /// dropped. A half close that waited for them is carried out by the next flush.
    pub fn take_queue(&mut self) -> VecDeque<B> {
        self.reclaim();
        self.queue.take_all()
    }

    /// Has the chunk that was pushed last wait a moment for others, some milliseconds at most; answers whether
    /// it does. If not, it is to be flushed.
    pub fn hold(&mut self, holder: &Holder) -> bool {
        let (Some(fd), Some(chunk)) = (&self.fd, self.queue.last()) else { return false };
        if let Some((holder, ticket)) = &self.held {
            return holder.hold_more(ticket, chunk.as_ref());
        }
        if self.queue.len_chunks() > 1 {
            return false;
        }
        let ticket = holder.hold(fd.as_fd(), chunk.as_ref());
        self.held = ticket.map(|ticket| (holder.clone(), ticket));
        self.held.is_some()
    }

    /// Whether what was held has waited so long that it left by itself; asked once, it is forgotten.
    pub fn waited_long(&mut self) -> bool {
        std::mem::take(&mut self.waited_long)
    }

    /// Forgets what of the queue has left meanwhile.
    #[inline]
    fn reclaim(&mut self) {
        if let Some((holder, ticket)) = self.held.take() {
            let Left { sent, error } = holder.reclaim(&ticket);
            self.waited_long |= sent > 0;
            self.failure = self.failure.take().or(error);
            self.queue.advance(sent);
        }
    }

    /// What waits to be written, chunk by chunk.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.queue.iter()
    }

    /// Closes the descriptor and drops what waits.
    pub fn close(&mut self) -> Closed {
        self.reclaim();
        self.queue.clear();
        match self.fd.take() {
            Some(fd) => {
                drop(fd);
                Closed::Now
            }
            None => Closed::Already,
        }
    }

    /// Gives the descriptor away, open, and drops what waits; `None` once closed.
    pub fn take_fd(&mut self) -> Option<OwnedFd> {
        self.reclaim();
        self.queue.clear();
        self.fd.take()
    }

    /// Turns the stream back into its descriptor, open; drops what waits. `None` once closed.
    #[must_use]
    pub fn into_fd(mut self) -> Option<OwnedFd> {
        self.take_fd()
    }
}

impl<B> Drop for Stream<B> {
    fn drop(&mut self) {
        if let Some((holder, ticket)) = self.held.take() {
            let _ = holder.reclaim(&ticket);
        }
    }
}

/// A connected socket as what a queue is written to.
struct Socket<'fd>(BorrowedFd<'fd>);

impl Sink for Socket<'_> {
    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        send_once(self.0, bytes)
    }

    fn write_gathered(&self, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| {
            let mut control = SendAncillaryBuffer::default();
            rustix::net::sendmsg(self.0, slices, &mut control, SEND_FLAGS)
        })
    }
}
