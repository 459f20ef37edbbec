//! Room for the datagrams of one read.
//!
//! A datagram that does not fit is cut by the kernel, so each piece of the room is as long as the
//! longest that can come. Pages that no datagram has reached are address space only: the room
//! grows with what is received, not with what could be.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use super::many::{self, Arrival};

/// No read brings more datagrams than this.
pub const MOST: usize = 32;

const BYTES: usize = MOST * Division::INTERNET.stride;

/// How the room is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Division {
    /// Where pieces begin, one after the other.
    stride: usize,
    /// How long a piece is.
    room: usize,
}

impl Division {
    /// For internet sockets: 65,527 bytes are the most that UDP can carry.
    ///
    /// Each piece begins a few cache lines later than the last: pieces that are a power of two
    /// apart would share the cache lines of a single set.
    pub(super) const INTERNET: Self = Self { stride: 64 * 1024 + 448, room: 64 * 1024 };

    /// For sockets whose datagrams know no such limit.
    pub(super) const OTHER: Self = Self { stride: 256 * 1024, room: 256 * 1024 };

    const fn pieces(self) -> usize {
        let pieces = BYTES / self.stride;
        if pieces < MOST { pieces } else { MOST }
    }
}

/// A datagram that has come.
#[derive(Debug)]
pub struct Incoming<'batch> {
    /// Its content, or as much of it as there was room for.
    pub data: &'batch [u8],
    /// Who sent it; `None` where the sender has no address, as an unbound Unix socket.
    pub from: Option<SocketAddrAny>,
    /// Whether it was longer than the room; the rest is lost.
    pub truncated: bool,
}

/// The datagrams of one read, and the room for those of the next.
pub struct Batch {
    arena: Vec<u8>,
    arrivals: [Arrival; MOST],
    division: Division,
    /// How many arrivals, from the first on, are datagrams that are there.
    arrived: usize,
}

impl Batch {
    /// Room without a datagram; its memory is asked for by the first read.
    #[must_use]
    pub fn new() -> Self {
        Self {
            arena: Vec::new(),
            arrivals: [Arrival::new(); MOST],
            division: Division::INTERNET,
            arrived: 0,
        }
    }

    /// How many datagrams the last read has brought.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.arrived
    }

    /// Whether it has brought none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.arrived == 0
    }

    /// The datagram at `place`; they are in the order in which they came.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<Incoming<'_>> {
        let arrival = self.arrivals[..self.arrived].get(place)?;
        let start = place * self.division.stride;
        // SAFETY: the kernel has written as many bytes from there on, which lie in the arena's
        // memory: the read that counted this arrival gave it this piece.
        let data =
            unsafe { std::slice::from_raw_parts(self.arena.as_ptr().add(start), arrival.length) };
        Some(Incoming { data, from: arrival.sender(), truncated: arrival.truncated })
    }

    /// Reads at most `wanted` datagrams over those of the last read.
    pub(super) fn fill(
        &mut self,
        fd: BorrowedFd<'_>,
        division: Division,
        wanted: usize,
    ) -> Result<usize, Errno> {
        self.arrived = 0;
        self.division = division;
        let wanted = wanted.clamp(1, division.pieces());
        self.arena.try_reserve_exact(BYTES).map_err(|_| Errno::NOMEM)?;
        let arena: &mut [MaybeUninit<u8>] = self.arena.spare_capacity_mut();
        let arena = &mut arena[..wanted * division.stride];
        let rooms = (division.stride, division.room);
        self.arrived = many::receive(fd, arena, rooms, &mut self.arrivals[..wanted])?;
        Ok(self.arrived)
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.arrived).map(|place| self.get(place))).finish()
    }
}
