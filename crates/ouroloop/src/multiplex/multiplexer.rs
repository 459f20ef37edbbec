//! What a mechanism is: the trait, and what it is asked and answers.

use std::fmt;
use std::io;
use std::os::fd::RawFd;

use rustix::time::Timespec;

use crate::clock::Nanos;

/// What to wait for on a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Wait until a read would not block.
    pub readable: bool,
    /// Wait until a write would not block.
    pub writable: bool,
    /// Tell it once, then keep silent until the interest is set again.
    pub once: bool,
    /// What has been told need not be told again before something new has come, or the interest is
    /// set again. A mechanism that cannot tell the difference may go on telling.
    pub edge: bool,
}

impl Interest {
    /// Nothing: the descriptor is not watched.
    pub const NONE: Self = Self { readable: false, writable: false, once: false, edge: false };
    /// What [`Interest::once`] becomes when it has been told: known to the mechanism, but silent.
    pub const TOLD: Self = Self { once: true, ..Self::NONE };
}

/// A descriptor that is ready.
///
/// An error or a hang-up counts as ready for both directions, so that whoever waits finds out
/// from its own read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The descriptor that was registered.
    pub fd: RawFd,
    /// A read would not block.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
    /// Behind the bytes stands something else: the end, an error, urgent data. Told where edges are
    /// asked for and the mechanism keeps silent about what it has told.
    pub beyond_bytes: bool,
}

/// How long a wait may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Answer at once.
    Zero,
    /// Answer after this many nanoseconds at the latest; a coarser mechanism rounds up.
    After(Nanos),
    /// Wait until something is ready.
    Never,
}

/// One mechanism of the operating system.
///
/// Methods take `&self` so that a wait can go on while its loop is borrowed by nobody; only
/// [`Multiplexer::wait`] blocks. A descriptor that was closed while registered is the caller's
/// mistake and costs an error at most: `set` repairs what the kernel has forgotten.
pub trait Multiplexer: Send + Sync + fmt::Debug {
    /// Changes the interest in a descriptor from `old` to `new`.
    ///
    /// # Errors
    /// The kernel's: `EBADF` for a closed descriptor, `EPERM` for one that cannot be waited for; or
    /// [`OutOfRange`]. Then nothing has changed.
    fn set(&self, fd: RawFd, old: Interest, new: Interest) -> io::Result<()>;

    /// Waits and appends what is ready to `events`. An interrupting signal ends the wait without
    /// events.
    ///
    /// # Errors
    /// The kernel's, none of which a correct program sees.
    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()>;
}

/// Readiness of at most this many descriptors is collected by one wait, where the mechanism has turns: those
/// that it tells of are last in the next.
pub(crate) const EVENTS_PER_WAIT: usize = 1024;

/// The room for a wait's answer, kept between waits.
pub struct Events {
    pub(super) ready: Vec<Event>,
    pub(super) most: usize,
    #[cfg(target_os = "linux")]
    pub(super) kernel: Vec<rustix::event::epoll::Event>,
}

#[cfg(target_os = "linux")]
// SAFETY: a kernel event could carry a pointer of its owner's; ours carry descriptor numbers.
unsafe impl Send for Events {}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.ready).finish()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self {
            ready: Vec::new(),
            most: EVENTS_PER_WAIT,
            #[cfg(target_os = "linux")]
            kernel: Vec::new(),
        }
    }
}

impl Events {
    /// Has a mechanism that has turns tell of `most` descriptors at most, [`EVENTS_PER_WAIT`] or fewer.
    pub(crate) fn limit(&mut self, most: usize) {
        self.most = most.clamp(1, EVENTS_PER_WAIT);
    }

    /// Hands out the events and empties the room.
    pub fn drain(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.ready.drain(..)
    }
}

impl Timeout {
    pub(super) fn timespec(self) -> Option<Timespec> {
        match self {
            Self::Zero => Some(timespec(0)),
            Self::After(nanos) => Some(timespec(nanos)),
            Self::Never => None,
        }
    }
}

pub(super) fn timespec(nanos: Nanos) -> Timespec {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    // A day is asyncio's own ceiling for a single wait; the loop then waits again.
    const DAY: u64 = 86_400 * NANOS_PER_SECOND;
    let nanos = nanos.min(DAY);
    Timespec {
        tv_sec: (nanos / NANOS_PER_SECOND).cast_signed(),
        tv_nsec: (nanos % NANOS_PER_SECOND).cast_signed(),
    }
}
