//! The two ends of a pipe, and whatever else is read and written like one: FIFOs, terminals,
//! character devices, sockets.
//!
//! As in [`net`](crate::net), nothing here knows the loop, and no operation blocks. Other than a
//! connection, an end is often somebody else's: a program hands its standard output over and
//! keeps the file object. So an end is generic over what holds the descriptor and closes it, once,
//! by being dropped: an `OwnedFd`, or anything that only lends its number.
//!
//! 1. Only [`Reader::receive`] reads; only [`Writer::send`] and [`Writer::flush`] write.
//! 2. Bytes leave in the order in which they were pushed: [`Writer::send`], which goes past the
//!    queue, is for an empty queue.
//! 3. A failed write leaves the queue as it is.
//! 4. The owner watches the descriptor and stops before it is closed.
//! 5. Whoever shares the file may have made it blocking again. A wait that this leads to ends with
//!    a signal, as if the call had not waited: the owner is to hear of the signal.

use std::collections::{TryReserveError, VecDeque};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::net::drain::{Sink, drain};
use crate::net::{Flushed, Received, Sent, WriteQueue};

/// What a descriptor leads to, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe, with a name or without.
    Fifo,
    /// A socket of any kind.
    Socket,
    /// A terminal or another character device.
    CharacterDevice,
    /// Something for which readiness has no meaning, such as a regular file.
    Other,
}

impl Kind {
    /// What `fd` leads to.
    ///
    /// # Errors
    /// EBADF.
    pub fn of(fd: impl AsFd) -> io::Result<Self> {
        let mode = rustix::fs::fstat(fd)?.st_mode;
        Ok(match FileType::from_raw_mode(mode) {
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharacterDevice,
            _ => Self::Other,
        })
    }

    /// Whether the end that is written to becomes readable when nobody can read any more.
    #[must_use]
    pub const fn tells_of_lost_reader(self) -> bool {
        matches!(self, Self::Fifo | Self::Socket)
    }
}

/// The end of a pipe that is read.
#[derive(Debug)]
pub struct Reader<F> {
    file: F,
}

impl<F: AsFd> Reader<F> {
    /// The end that `file` holds, which becomes non-blocking.
    ///
    /// # Errors
    /// The kernel's.
    pub fn adopt(file: F) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&file, true)?;
        Ok(Self { file })
    }

    /// Reads what is there into `buffer`; an empty buffer receives no data, which is not the end.
    #[inline]
    pub fn receive(&self, buffer: &mut [MaybeUninit<u8>]) -> Received {
        let room = buffer.len();
        let read = rustix::io::read(&self.file, buffer).map_err(would_block_if_interrupted);
        match read.map(|(filled, _)| filled.len()) {
            Ok(0) if room > 0 => Received::Eof,
            Ok(n) => Received::Data(n),
            Err(Errno::AGAIN) => Received::WouldBlock,
            Err(error) => Received::Failed(error.into()),
        }
    }
}

/// The end of a pipe that is written to, and the chunks of type `B` that wait.
///
/// ```
/// use std::mem::MaybeUninit;
/// use ouroloop::net::{Flushed, Received};
/// use ouroloop::pipe::{Reader, Writer};
///
/// # fn main() -> std::io::Result<()> {
/// let (reader, writer) = std::io::pipe()?;
/// let reader = Reader::adopt(reader)?;
/// let mut writer = Writer::adopt(writer)?;
///
/// writer.push("hello ");
/// writer.push("world");
/// assert!(matches!(writer.flush(), Flushed::Drained));
///
/// let mut buffer = [MaybeUninit::uninit(); 64];
/// assert!(matches!(reader.receive(&mut buffer), Received::Data(11)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Writer<F, B> {
    file: F,
    queue: WriteQueue<B>,
}

impl<F: AsFd, B: AsRef<[u8]>> Writer<F, B> {
    /// The end that `file` holds, which becomes non-blocking.
    ///
    /// # Errors
    /// The kernel's.
    pub fn adopt(file: F) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&file, true)?;
        Ok(Self { file, queue: WriteQueue::new() })
    }

    /// How many bytes wait to be written.
    #[inline]
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queue.len_bytes()
    }

    /// Writes `bytes` past the queue, which must be empty. What the kernel did not take is the
    /// caller's to push.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> Sent {
        debug_assert!(self.queue.is_empty(), "bytes would overtake those that wait");
        match End(self.file.as_fd()).write(bytes) {
            Ok(n) => Sent::Bytes(n),
            Err(Errno::AGAIN) => Sent::WouldBlock,
            Err(error) => Sent::Failed(error.into()),
        }
    }

    /// Makes sure that there is room for one more chunk to wait.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    #[inline]
    pub fn reserve(&mut self) -> Result<(), TryReserveError> {
        self.queue.reserve()
    }

    /// Queues a chunk; [`Writer::flush`] writes it.
    #[inline]
    pub fn push(&mut self, chunk: B) {
        self.queue.push(chunk);
    }

    /// Queues a chunk of which the first `written` bytes have been sent; the queue must be empty.
    ///
    /// # Panics
    /// When the chunk has fewer bytes.
    #[inline]
    pub fn push_rest(&mut self, chunk: B, written: usize) {
        debug_assert!(self.queue.is_empty(), "what was sent is not the head's");
        self.queue.push(chunk);
        self.queue.advance(written);
    }

    /// Writes what waits, as [`Stream::flush`](crate::net::Stream::flush) does.
    pub fn flush(&mut self) -> Flushed {
        drain(&mut self.queue, &End(self.file.as_fd()))
    }

    /// Gives up on what waits and hands the chunks to the caller, who decides when they are
    /// dropped.
    pub fn take_queue(&mut self) -> VecDeque<B> {
        self.queue.take_all()
    }
}

/// Rule 5.
const fn would_block_if_interrupted(error: Errno) -> Errno {
    match error {
        Errno::INTR => Errno::AGAIN,
        error => error,
    }
}

/// A descriptor as what a queue is written to.
struct End<'fd>(BorrowedFd<'fd>);

impl Sink for End<'_> {
    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        rustix::io::write(self.0, bytes).map_err(would_block_if_interrupted)
    }

    fn write_gathered(&self, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        rustix::io::writev(self.0, slices).map_err(would_block_if_interrupted)
    }
}
