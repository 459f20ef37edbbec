//! `poll(2)`: POSIX, any descriptor number, cost proportional to the number of descriptors.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::fork::Process;

use super::multiplexer::{Event, Events, Interest, Multiplexer, Timeout};

/// A table of watched descriptors.
///
/// The kernel keeps nothing between waits, so a wait works on a copy of the table and interest
/// changed meanwhile by another thread counts from the next wait on.
#[derive(Debug)]
pub struct Poll {
    watched: Mutex<BTreeMap<RawFd, Interest>>,
    process: Option<Process>,
}

impl Default for Poll {
    fn default() -> Self {
        Self { watched: Mutex::default(), process: Process::current().ok() }
    }
}

impl Poll {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<RawFd, Interest>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.readable);
    flags.set(PollFlags::OUT, interest.writable);
    flags
}

impl Multiplexer for Poll {
    fn set(&self, fd: RawFd, _old: Interest, new: Interest) -> io::Result<()> {
        if new == Interest::NONE {
            // Nobody waits on what a child inherited, and its lock may be a thread's of the parent.
            if self.process.is_none_or(Process::is_current) {
                self.watched().remove(&fd);
            }
            return Ok(());
        }
        // SAFETY: the number is only passed to `fcntl(F_GETFD)`, which answers EBADF for a
        // descriptor that is not open.
        rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) })?;
        self.watched().insert(fd, new);
        Ok(())
    }

    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        let mut table: Vec<PollFd<'_>> = Vec::new();
        {
            let watched = self.watched();
            let reserved = table.try_reserve(watched.len());
            reserved
                .and_then(|()| events.ready.try_reserve(watched.len()))
                .map_err(|_| Errno::NOMEM)?;
            let wanted = watched.iter().filter(|&(_, &interest)| interest != Interest::TOLD);
            table.extend(wanted.map(|(&fd, &interest)| {
                // SAFETY: `poll` answers POLLNVAL for a descriptor that is not open.
                PollFd::from_borrowed_fd(unsafe { BorrowedFd::borrow_raw(fd) }, flags(interest))
            }));
        }
        match poll(&mut table, timeout.timespec().as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let mut watched = self.watched();
        events.ready.extend(table.iter().filter(|entry| !entry.revents().is_empty()).map(
            |entry| {
                let flags = entry.revents();
                let fd = std::os::fd::AsFd::as_fd(entry).as_raw_fd();
                if let Some(interest) = watched.get_mut(&fd).filter(|interest| interest.once) {
                    *interest = Interest::TOLD;
                }
                Event {
                    fd,
                    readable: flags.intersects(PollFlags::OUT.complement()),
                    writable: flags.intersects(PollFlags::IN.complement()),
                    beyond_bytes: false,
                }
            },
        ));
        Ok(())
    }
}
