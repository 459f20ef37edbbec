//! The socket, as its user has it.

use std::collections::{TryReserveError, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny};

use super::batch::{self, Batch, Division};
use super::many;
use super::queue::{DatagramQueue, Destination, Outgoing};
use crate::net::held::{Holder, Left, Ticket};

/// A flush gives way to others after about this many datagrams.
const FLUSHED_DATAGRAMS: usize = 512;

/// What came of a read.
#[derive(Debug)]
#[must_use]
pub enum Received {
    /// This many datagrams, at least one, now stand in the batch.
    Datagrams(usize),
    /// None is there yet.
    WouldBlock,
    /// An error, often that of a datagram sent earlier; the socket is as good as before.
    Failed(io::Error),
}

/// What came of sending a datagram past the empty queue.
#[derive(Debug)]
#[must_use]
pub enum Sent {
    /// The kernel took it.
    Whole,
    /// The kernel has no room yet.
    WouldBlock,
    /// It is not sent; the socket is as good as before.
    Failed(io::Error),
}

/// What came of sending what waits.
#[derive(Debug)]
#[must_use]
pub enum Flushed<B, A> {
    /// Nothing waits any more.
    Drained,
    /// Something still waits: flush again when the descriptor is writable.
    Blocked,
    /// This datagram is taken out of the queue unsent: flush again for the rest.
    Failed(Outgoing<B, A>, io::Error),
    /// The first datagram, taken out of the queue, is for the owner to send: flush again for the
    /// rest.
    Foreign(B, A),
}

/// A non-blocking datagram socket, payloads of type `B` that wait to be sent by it, and
/// destinations of type `A` that only its owner understands.
///
/// Dropping it closes the descriptor and drops what waits.
///
/// ```
/// use std::convert::Infallible;
/// use std::net::UdpSocket;
/// use std::os::fd::OwnedFd;
/// use ouroloop::net::datagram::{Batch, DatagramSocket, Destination, Flushed, Outgoing, Received};
///
/// # fn main() -> std::io::Result<()> {
/// let far = UdpSocket::bind("127.0.0.1:0")?;
/// let address = far.local_addr()?;
/// let near = OwnedFd::from(UdpSocket::bind("127.0.0.1:0")?);
/// let mut near: DatagramSocket<&str, Infallible> = DatagramSocket::adopt(near, 0)?;
///
/// near.push(Outgoing { data: "hello", to: Destination::Address(address.into()) });
/// assert!(matches!(near.flush(), Flushed::Drained));
///
/// let mut buffer = [0; 16];
/// let (length, sender) = far.recv_from(&mut buffer)?;
/// far.send_to(&buffer[..length], sender)?;
/// let mut batch = Batch::new();
/// assert!(matches!(near.receive(&mut batch), Received::Datagrams(1)));
/// assert_eq!(batch.get(0).map(|datagram| datagram.data), Some(&b"hello"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DatagramSocket<B, A> {
    fd: Option<OwnedFd>,
    queue: DatagramQueue<B, A>,
    division: Division,
    /// How many datagrams the next read asks for.
    wanted: usize,
    /// Who has copies of what waits; nobody may change the queue before they are taken back.
    held: Option<(Holder, Ticket)>,
    /// What was held has waited so long that it left by itself.
    waited_long: bool,
}

fn closed() -> io::Error {
    Errno::BADF.into()
}

impl<B: AsRef<[u8]>, A> DatagramSocket<B, A> {
    /// On a socket that is non-blocking already. Each datagram weighs `header` bytes more than it
    /// has.
    #[must_use]
    pub fn new(fd: OwnedFd, header: usize) -> Self {
        let internet = rustix::net::getsockname(&fd).is_ok_and(|name| {
            matches!(name.address_family(), AddressFamily::INET | AddressFamily::INET6)
        });
        let division = if internet { Division::INTERNET } else { Division::OTHER };
        Self {
            fd: Some(fd),
            queue: DatagramQueue::new(header),
            division,
            wanted: 1,
            held: None,
            waited_long: false,
        }
    }

    /// On any datagram socket, which becomes non-blocking and closed on exec.
    ///
    /// # Errors
    /// The kernel's; the descriptor is closed then.
    pub fn adopt(fd: OwnedFd, header: usize) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        Ok(Self::new(fd, header))
    }

    /// The descriptor, to be watched; `None` once closed.
    #[inline]
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// The datagrams that wait to be sent.
    #[inline]
    #[must_use]
    pub const fn queue(&self) -> &DatagramQueue<B, A> {
        &self.queue
    }

    /// Reads what is there into `batch`, over what it holds.
    #[inline]
    pub fn receive(&mut self, batch: &mut Batch) -> Received {
        let Some(fd) = &self.fd else { return Received::Failed(closed()) };
        match batch.fill(fd.as_fd(), self.division, self.wanted) {
            Ok(count) => {
                self.wanted = (count + 1).next_power_of_two().min(batch::MOST);
                Received::Datagrams(count)
            }
            Err(Errno::AGAIN) => Received::WouldBlock,
            Err(error) => Received::Failed(error.into()),
        }
    }

    /// Sends a datagram past the queue, which must be empty; without an address to the peer that
    /// the socket is connected to.
    pub fn send(&self, data: &[u8], to: Option<&SocketAddrAny>) -> Sent {
        debug_assert!(self.queue.is_empty(), "a datagram would overtake those that wait");
        let Some(fd) = &self.fd else { return Sent::Failed(closed()) };
        match many::send_one(fd.as_fd(), (data, to)) {
            Ok(()) => Sent::Whole,
            Err(Errno::AGAIN) => Sent::WouldBlock,
            Err(error) => Sent::Failed(error.into()),
        }
    }

    /// Makes sure that there is room for one more datagram to wait.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    #[inline]
    pub fn reserve(&mut self) -> Result<(), TryReserveError> {
        self.queue.reserve()
    }

    /// Queues a datagram; [`DatagramSocket::flush`] sends it. One for a closed socket is dropped
    /// by the next flush, with the error that tells why.
    #[inline]
    pub fn push(&mut self, datagram: Outgoing<B, A>) {
        self.queue.push(datagram);
    }

    /// Has the datagram that was pushed last wait a moment for others, some milliseconds at most; answers
    /// whether it does. If not, the queue is to be flushed.
    pub fn hold(&mut self, holder: &Holder) -> bool {
        let (Some(fd), Some(datagram)) = (&self.fd, self.queue.last()) else { return false };
        let to = match &datagram.to {
            Destination::Peer => None,
            Destination::Address(address) => Some(address),
            Destination::Foreign(_) => return false,
        };
        let content = datagram.data.as_ref();
        if let Some((holder, ticket)) = &self.held {
            return holder.hold_another(ticket, content, to);
        }
        if self.queue.len() > 1 {
            return false;
        }
        let ticket = holder.hold_datagram(fd.as_fd(), content, to);
        self.held = ticket.map(|ticket| (holder.clone(), ticket));
        self.held.is_some()
    }

    /// Whether what was held has waited so long that it left by itself; asked once, it is forgotten.
    pub fn waited_long(&mut self) -> bool {
        std::mem::take(&mut self.waited_long)
    }

    /// Forgets what of the queue has left meanwhile; answers the one that has failed, and why.
    fn reclaim(&mut self) -> Option<(Outgoing<B, A>, io::Error)> {
        let (holder, ticket) = self.held.take()?;
        let Left { sent, error } = holder.reclaim(&ticket);
        self.waited_long |= sent > 0 || error.is_some();
        (0..sent).for_each(|_| drop(self.queue.pop()));
        error.and_then(|error| Some((self.queue.pop()?, error)))
    }

    /// Puts a datagram that was taken out by [`DatagramSocket::flush`] before all others.
    pub fn put_back(&mut self, datagram: Outgoing<B, A>) {
        self.queue.put_back(datagram);
    }

    /// Sends what waits, many datagrams with one system call, until nothing waits, the kernel has
    /// no room, or about 512 datagrams are sent.
    pub fn flush(&mut self) -> Flushed<B, A> {
        if let Some((datagram, error)) = self.reclaim() {
            return Flushed::Failed(datagram, error);
        }
        let mut flushed = 0;
        while !self.queue.is_empty() {
            if flushed >= FLUSHED_DATAGRAMS {
                return Flushed::Blocked;
            }
            let outcome = match &self.fd {
                Some(fd) => send_queued(fd.as_fd(), &self.queue),
                None => Err(Errno::BADF),
            };
            match outcome {
                Ok(0) => match self.queue.pop() {
                    Some(Outgoing { data, to: Destination::Foreign(place) }) => {
                        return Flushed::Foreign(data, place);
                    }
                    _ => unreachable!("the kernel takes one datagram at least"),
                },
                Ok(sent) => {
                    (0..sent).for_each(|_| drop(self.queue.pop()));
                    flushed += sent;
                }
                Err(Errno::AGAIN) => return Flushed::Blocked,
                Err(error) => {
                    if let Some(datagram) = self.queue.pop() {
                        return Flushed::Failed(datagram, error.into());
                    }
                }
            }
        }
        Flushed::Drained
    }

    /// Gives up on what waits and hands it to the caller, who decides when it is dropped.
    pub fn take_queue(&mut self) -> VecDeque<Outgoing<B, A>> {
        self.reclaim();
        self.queue.take_all()
    }

    /// Gives the descriptor away, open; `None` once closed. What waits stays.
    pub fn take_fd(&mut self) -> Option<OwnedFd> {
        self.reclaim();
        self.fd.take()
    }
}

impl<B, A> Drop for DatagramSocket<B, A> {
    fn drop(&mut self) {
        if let Some((holder, ticket)) = self.held.take() {
            let _ = holder.reclaim(&ticket);
        }
    }
}

/// Sends the datagrams before the first foreign one, or as many of them as one call takes; answers
/// how many the kernel took, none if the first is foreign.
fn send_queued<B: AsRef<[u8]>, A>(
    fd: BorrowedFd<'_>,
    queue: &DatagramQueue<B, A>,
) -> Result<usize, Errno> {
    let mut datagrams = queue
        .iter()
        .map_while(|datagram| match &datagram.to {
            Destination::Peer => Some((datagram.data.as_ref(), None)),
            Destination::Address(address) => Some((datagram.data.as_ref(), Some(address))),
            Destination::Foreign(_) => None,
        })
        .peekable();
    if datagrams.peek().is_none() {
        return Ok(0);
    }
    many::send(fd, datagrams)
}
