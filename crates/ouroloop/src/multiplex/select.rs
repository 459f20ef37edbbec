//! `select(2)`: on every POSIX system, for descriptors below [`FD_SETSIZE`] only; cost
//! proportional to the highest number that is watched.
//!
//! A set has a bit for each number below the limit, and none for others: one of those is refused
//! when it is to be watched ([`OutOfRange`]), so that a wait never sees it.
//!
//! One descriptor that was closed behind our back makes the whole wait fail (`EBADF`), and `select`
//! does not say which it was. It is looked for then and reported as ready, as `poll` does it: who
//! watches it finds out from its own read or write, and whoever else is ready is found too.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{FdSetElement, FdSetIter, fd_set_bound, fd_set_insert, fd_set_remove, select};
use rustix::io::Errno;

use crate::fork::Process;

use super::multiplexer::{Event, Events, Interest, Multiplexer, Timeout};

pub use libc::FD_SETSIZE;

const BITS_PER_ELEMENT: usize = size_of::<FdSetElement>() * 8;

/// A set of descriptors below [`FD_SETSIZE`].
#[derive(Clone, Copy)]
struct Set([FdSetElement; FD_SETSIZE.div_ceil(BITS_PER_ELEMENT)]);

impl Set {
    fn empty() -> Self {
        Self([FdSetElement::default(); FD_SETSIZE.div_ceil(BITS_PER_ELEMENT)])
    }

    fn put(&mut self, fd: RawFd, contained: bool) {
        if contained {
            fd_set_insert(&mut self.0, fd);
        } else {
            fd_set_remove(&mut self.0, fd);
        }
    }

    fn bound(&self) -> RawFd {
        fd_set_bound(&self.0)
    }

    fn iter(&self) -> impl Iterator<Item = RawFd> + '_ {
        FdSetIter::new(&self.0)
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Who is watched for what; one that was told its single event is in no set.
#[derive(Clone, Copy, Debug)]
struct Watched {
    readable: Set,
    writable: Set,
    once: Set,
}

impl Watched {
    /// Every number is below [`FD_SETSIZE`].
    fn put(&mut self, fd: RawFd, interest: Interest) {
        self.readable.put(fd, interest.readable);
        self.writable.put(fd, interest.writable);
        self.once.put(fd, interest.once);
    }

    /// Which of them can be read from and which written to, waiting until there are some.
    fn select(&self, timeout: Timeout) -> Result<(Set, Set), Errno> {
        let (mut readable, mut writable) = (self.readable, self.writable);
        // SAFETY: `select` answers EBADF for a descriptor that is not open; both sets have room for
        // every number below the bound.
        unsafe {
            select(
                readable.bound().max(writable.bound()),
                Some(&mut readable.0),
                Some(&mut writable.0),
                None,
                timeout.timespec().as_ref(),
            )
        }?;
        Ok((readable, writable))
    }

    /// Takes those out that are not open; answers them.
    fn take_closed(&mut self) -> Vec<RawFd> {
        let watched = self.readable.iter().chain(self.writable.iter());
        let closed: Vec<RawFd> = watched.filter(|&fd| is_open(fd).is_err()).collect();
        for &fd in &closed {
            self.put(fd, Interest::NONE);
        }
        closed
    }
}

/// Three sets of descriptors.
///
/// As with [`Poll`](super::Poll), the kernel keeps nothing between waits: a wait works on copies, and
/// interest changed meanwhile by another thread counts from the next wait on.
#[derive(Debug)]
pub struct Select {
    watched: Mutex<Watched>,
    process: Option<Process>,
}

impl Default for Select {
    fn default() -> Self {
        let [readable, writable, once] = [Set::empty(); 3];
        let watched = Mutex::new(Watched { readable, writable, once });
        Self { watched, process: Process::current().ok() }
    }
}

impl Select {
    /// Empty sets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports what is ready; who is told for the single time is silent from now on.
    fn report(&self, events: &mut Events, readable: &Set, writable: &Set) {
        let mut watched = self.watched();
        let once = watched.once;
        let mut once = once.iter().peekable();
        let (mut readable, mut writable) = (readable.iter().peekable(), writable.iter().peekable());
        while let Some(fd) = lower(readable.peek(), writable.peek()) {
            events.ready.push(Event {
                fd,
                readable: readable.next_if_eq(&fd).is_some(),
                writable: writable.next_if_eq(&fd).is_some(),
                beyond_bytes: false,
            });
            while once.next_if(|&other| other < fd).is_some() {}
            if once.next_if_eq(&fd).is_some() {
                watched.put(fd, Interest::NONE);
            }
        }
    }
}

fn lower(one: Option<&RawFd>, other: Option<&RawFd>) -> Option<RawFd> {
    one.into_iter().chain(other).min().copied()
}

fn is_open(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: the number is only passed to `fcntl(F_GETFD)`, which answers EBADF for a descriptor
    // that is not open.
    rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) }).map(drop)
}

impl Multiplexer for Select {
    fn set(&self, fd: RawFd, _old: Interest, new: Interest) -> io::Result<()> {
        if !usize::try_from(fd).is_ok_and(|number| number < FD_SETSIZE) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, OutOfRange));
        }
        if new != Interest::NONE {
            is_open(fd)?;
        } else if !self.process.is_none_or(Process::is_current) {
            // Nobody waits on what a child inherited, and its lock may be a thread's of the parent.
            return Ok(());
        }
        self.watched().put(fd, new);
        Ok(())
    }

    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        let mut watched = *self.watched();
        let (readable, writable) = match watched.select(timeout) {
            Err(Errno::INTR) => return Ok(()),
            Err(Errno::BADF) => {
                let closed = watched.take_closed();
                // Should one more be closed meanwhile, the next wait finds it.
                let nothing = (Set::empty(), Set::empty());
                let (mut readable, mut writable) = watched.select(Timeout::Zero).unwrap_or(nothing);
                for fd in closed {
                    readable.put(fd, true);
                    writable.put(fd, true);
                }
                (readable, writable)
            }
            answer => answer?,
        };
        self.report(events, &readable, &writable);
        Ok(())
    }
}

/// Why [`Select`] refuses to watch a descriptor of [`FD_SETSIZE`] or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("filedescriptor out of range in select()")
    }
}

impl Error for OutOfRange {}
