//! A level-triggered epoll set whose sources are known by a token.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

const EVENTS_A_WAIT: usize = 1024;

/// An epoll instance with the events of its last wait.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    /// Makes an empty set.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_A_WAIT) })
    }

    /// Watches `source` for input; its events carry `token`.
    pub fn add(&self, source: impl AsFd, token: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, data(token), epoll::EventFlags::IN)?)
    }

    /// Adds or takes away the wish to hear when `source` can be written to.
    pub fn want_write(&self, source: impl AsFd, token: usize, wanted: bool) -> io::Result<()> {
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, wanted);
        Ok(epoll::modify(&self.epoll, source, data(token), flags)?)
    }

    /// Waits for events, for ever if `timeout` is `None`, and answers how many came.
    ///
    /// An interrupted wait counts as one without events. Timeouts are rounded up to milliseconds.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        self.events.clear();
        let timeout = timeout.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(count) => Ok(count),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The `index`-th event of the last wait: its token, and whether it tells more than "writable".
    ///
    /// Errors and hang-ups count as readable, since a read is what reports them.
    #[must_use]
    pub fn event(&self, index: usize) -> (usize, bool) {
        let event = self.events[index];
        let token = event.data.u64();
        let flags = event.flags;
        let readable = flags != epoll::EventFlags::OUT;
        (usize::try_from(token).unwrap_or(usize::MAX), readable)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

fn data(token: usize) -> epoll::EventData {
    epoll::EventData::new_u64(token as u64)
}
