//! What is held: copies of bytes and datagrams, in the order in which they came, and how much of them has left.

use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::net::SocketAddrAny;

use crate::net::transfer::{Sent, send};

/// A write of more than this is not worth a copy: the call that it may save costs no more.
pub const LARGEST: usize = 512;

/// So much is held at once.
const MOST_HELD: usize = 64 * 1024;

/// What has become of what was held of a socket.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Left {
    /// So many bytes, or datagrams, of the first have left.
    pub(crate) sent: usize,
    /// Why no more have, if they could not: of datagrams, the next one has failed.
    pub(crate) error: Option<io::Error>,
}

/// What is held of one socket.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) place: usize,
}

#[derive(Debug, Default)]
pub(super) struct Held {
    /// The bytes of all entries, one behind the other.
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    /// In the order in which they were held, whichever socket's.
    pub(super) datagrams: Vec<Datagram>,
    /// How many entries have not been taken back.
    live: usize,
    /// Something was held since the thread looked.
    pub(super) used: bool,
    /// The thread knows it.
    pub(super) watched: bool,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// Nothing was held since the last one.
    Nothing,
    /// Something was, and has been taken back.
    Used,
    /// Something is, for the first time.
    Waiting,
    /// Something had waited since the last one, and was sent.
    Overdue,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) fd: RawFd,
    /// What has not left, in `bytes`.
    rest: Range<usize>,
    /// How many bytes or datagrams have left.
    pub(super) sent: usize,
    /// Why nothing more leaves.
    pub(super) failure: Option<io::Error>,
    /// The thread has seen it once.
    pub(super) seen: bool,
    /// It has been taken back, or one of its datagrams has not left.
    pub(super) is_over: bool,
}

/// A datagram that waits.
#[derive(Debug)]
pub(super) struct Datagram {
    /// Its socket's place among the entries.
    pub(super) place: usize,
    pub(super) content: Range<usize>,
    /// `None` for the peer that the socket is connected to.
    pub(super) to: Option<SocketAddrAny>,
    pub(super) has_left: bool,
}

impl Held {
    pub(super) fn add(&mut self, fd: BorrowedFd<'_>, bytes: &[u8]) -> Option<Ticket> {
        if !self.has_room(bytes) {
            return None;
        }
        let start = self.bytes.len();
        let ticket = self.add_entry(fd, start..start + bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        self.used = true;
        Some(ticket)
    }

    pub(super) fn add_entry(&mut self, fd: BorrowedFd<'_>, rest: Range<usize>) -> Option<Ticket> {
        self.entries.try_reserve(1).ok()?;
        let place = self.entries.len();
        let fd = fd.as_raw_fd();
        self.entries.push(Entry { fd, rest, sent: 0, failure: None, seen: false, is_over: false });
        self.live += 1;
        Some(Ticket { place })
    }

    pub(super) fn append(&mut self, ticket: &Ticket, bytes: &[u8]) -> bool {
        let is_last = ticket.place + 1 == self.entries.len();
        if !is_last || !self.has_room(bytes) {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        self.entries[ticket.place].rest.end = self.bytes.len();
        self.used = true;
        true
    }

    /// Whether a fork has sent it, or has tried: that is to be told, though nobody looks any more.
    pub(super) fn was_sent(&self, ticket: &Ticket) -> bool {
        let entry = &self.entries[ticket.place];
        entry.sent > 0 || entry.failure.is_some()
    }

    fn has_room(&mut self, bytes: &[u8]) -> bool {
        bytes.len() <= LARGEST && self.reserve(bytes.len())
    }

    pub(super) fn reserve(&mut self, count: usize) -> bool {
        self.bytes.len() + count <= MOST_HELD && self.bytes.try_reserve(count).is_ok()
    }

    pub(super) fn remove(&mut self, ticket: &Ticket) -> Left {
        let entry = &mut self.entries[ticket.place];
        entry.rest = 0..0;
        entry.is_over = true;
        let left = Left { sent: entry.sent, error: entry.failure.take() };
        self.live -= 1;
        if self.live == 0 {
            self.entries.clear();
            self.datagrams.clear();
            self.bytes.clear();
        }
        left
    }

    /// Sends what was there at the last look.
    pub(super) fn look(&mut self) -> Seen {
        let mut seen = if mem::take(&mut self.used) { Seen::Used } else { Seen::Nothing };
        if self.send_datagrams(false) {
            seen = Seen::Overdue;
        }
        for entry in &mut self.entries {
            let found = if !mem::replace(&mut entry.seen, true) {
                Seen::Waiting
            } else if entry.send(&self.bytes) {
                Seen::Overdue
            } else {
                continue;
            };
            seen = seen.max(found);
        }
        seen
    }

    pub(super) fn send_all(&mut self) {
        for entry in &mut self.entries {
            entry.send(&self.bytes);
        }
        self.send_datagrams(true);
    }
}

impl Entry {
    /// Answers whether something has left.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let rest = &bytes[self.rest.clone()];
        if rest.is_empty() || self.failure.is_some() {
            return false;
        }
        // SAFETY: whoever holds for a descriptor takes it back before that is closed, and cannot while this
        // has the lock.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        match send(fd, rest) {
            Sent::Bytes(sent) => {
                self.sent += sent;
                self.rest.start += sent;
                return true;
            }
            Sent::WouldBlock => {}
            Sent::Failed(error) => self.failure = Some(error),
        }
        false
    }
}

/// Takes a lock of this room's.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that could panic runs under these locks and leaves something half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
