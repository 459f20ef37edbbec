//! Datagrams among what is held: each with its destination, and whole or not at all.
//!
//! A socket's leave in order. The first that fails is the last that the thread tries; the error is told to the
//! owner, since the kernel tells it once, and the datagram is lost as it would be with any socket.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use super::entries::{Datagram, Entry, Held, Ticket, lock};
use super::holder::Holder;
use crate::net::datagram::send_one;

/// A datagram of more than this leaves at once: to copy it costs more than the call that it may save.
const LARGEST: usize = 2048;

/// So many are held at once, however short.
const MOST_DATAGRAMS: usize = 512;

impl Holder {
    /// Holds what is all that waits for a datagram socket; without an address for the peer that it is
    /// connected to.
    ///
    /// `None` if it is long, or much is held already, and without memory or a thread.
    #[must_use]
    pub(crate) fn hold_datagram(
        &self,
        fd: BorrowedFd<'_>,
        content: &[u8],
        to: Option<&SocketAddrAny>,
    ) -> Option<Ticket> {
        if !self.is_usable() {
            return None;
        }
        let (ticket, watched) = {
            let mut held = lock(&self.held);
            let ticket = held.add_entry(fd, 0..0)?;
            if !held.add_datagram(&ticket, content, to) {
                let _ = held.remove(&ticket);
                return None;
            }
            (ticket, held.watched)
        };
        if self.has_thread_look(watched) || lock(&self.held).was_sent(&ticket) {
            return Some(ticket);
        }
        let _ = lock(&self.held).remove(&ticket);
        None
    }

    /// Holds another one for the same socket; answers whether it does.
    #[must_use]
    pub(crate) fn hold_another(
        &self,
        ticket: &Ticket,
        content: &[u8],
        to: Option<&SocketAddrAny>,
    ) -> bool {
        if !self.is_usable() {
            return false;
        }
        let watched = {
            let mut held = lock(&self.held);
            held.add_datagram(ticket, content, to).then_some(held.watched)
        };
        watched.is_some_and(|watched| self.has_thread_look(watched))
    }
}

impl Held {
    fn add_datagram(
        &mut self,
        ticket: &Ticket,
        content: &[u8],
        to: Option<&SocketAddrAny>,
    ) -> bool {
        let has_room = content.len() <= LARGEST
            && self.datagrams.len() < MOST_DATAGRAMS
            && self.reserve(content.len())
            && self.datagrams.try_reserve(1).is_ok();
        if has_room {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(content);
            let content = start..self.bytes.len();
            let (place, to) = (ticket.place, to.cloned());
            self.datagrams.push(Datagram { place, content, to, has_left: false });
            self.used = true;
        }
        has_room
    }

    /// Sends those of which the thread has seen the first, or all; answers whether some have left.
    pub(super) fn send_datagrams(&mut self, all: bool) -> bool {
        let mut some = false;
        for datagram in &mut self.datagrams {
            let entry = &mut self.entries[datagram.place];
            if (all || entry.seen) && !entry.is_over && !datagram.has_left {
                datagram.has_left = entry.send_datagram(&self.bytes, datagram);
                some |= datagram.has_left;
            }
        }
        some
    }
}

impl Entry {
    /// Answers whether it has left.
    fn send_datagram(&mut self, bytes: &[u8], datagram: &Datagram) -> bool {
        // SAFETY: as in `Entry::send`.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        match send_one(fd, (&bytes[datagram.content.clone()], datagram.to.as_ref())) {
            Ok(()) => {
                self.sent += 1;
                true
            }
            Err(error) => {
                self.is_over = true;
                self.failure = (error != Errno::AGAIN).then(|| error.into());
                false
            }
        }
    }
}
