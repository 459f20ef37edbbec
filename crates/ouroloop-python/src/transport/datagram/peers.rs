//! Addresses that were translated before.
//!
//! Who sends one datagram often sends more, and an answer goes to the very object that came with
//! the question. So both ways are remembered: by the kernel's address the object that stands for
//! it, and by an object's identity the kernel's address.
//!
//! Each is a table in which an address has one place; two of the same place drive each other out.
//! A table begins with a single place, which is all that a client needs, and grows as places are
//! fought over. Only objects that cannot change are kept.

use std::hash::{Hash, Hasher};

use crate::interpreter::room::Grow;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use rustix::net::SocketAddrAny;

/// A table of as many places takes 144 KiB. A server's many peers need several times as many places as they
/// are, or they drive each other out.
const MOST: usize = 1024;

/// An odd number without a pattern: 2^64 over the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug)]
pub(super) struct Peer {
    address: SocketAddrAny,
    object: Py<PyAny>,
}

type Table = Vec<Option<Peer>>;

#[derive(Debug)]
pub(super) struct Peers {
    by_address: Table,
    by_object: Table,
}

impl Peers {
    pub(super) const fn new() -> Self {
        Self { by_address: Vec::new(), by_object: Vec::new() }
    }

    /// The object that stands for an address.
    #[inline]
    pub(super) fn object(&self, py: Python<'_>, address: &SocketAddrAny) -> Option<Py<PyAny>> {
        let place = place(&self.by_address, hash_address(address))?;
        let peer = self.by_address[place].as_ref()?;
        (peer.address == *address).then(|| peer.object.clone_ref(py))
    }

    /// The address that an object stands for.
    #[inline]
    pub(super) fn address(&self, object: &Bound<'_, PyAny>) -> Option<SocketAddrAny> {
        let place = place(&self.by_object, hash_object(object.as_ptr()))?;
        let peer = self.by_object[place].as_ref()?;
        (peer.object.as_ptr() == object.as_ptr()).then(|| peer.address.clone())
    }

    /// Remembers who sends; what is to be dropped by the caller.
    pub(super) fn received(&mut self, address: SocketAddrAny, object: Py<PyAny>) -> Option<Peer> {
        let hash = |peer: &Peer| hash_address(&peer.address);
        remember(&mut self.by_address, Peer { address, object }, hash)
    }

    /// Remembers who is sent to; what is to be dropped by the caller.
    pub(super) fn sent(&mut self, address: SocketAddrAny, object: Py<PyAny>) -> Option<Peer> {
        let hash = |peer: &Peer| hash_object(peer.object.as_ptr());
        remember(&mut self.by_object, Peer { address, object }, hash)
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let mut peers = self.by_address.iter().chain(&self.by_object).flatten();
        peers.try_for_each(|peer| visit.call(&peer.object))
    }
}

fn remember(table: &mut Table, peer: Peer, hash: impl Fn(&Peer) -> u64) -> Option<Peer> {
    if table.is_empty() && table.grow(None).is_err() {
        return Some(peer);
    }
    let fought_over = |table: &Table, peer: &Peer| {
        place(table, hash(peer)).is_some_and(|place| table[place].is_some())
    };
    while fought_over(table, &peer) && table.len() < MOST {
        let mut larger: Table = Vec::new();
        if larger.try_reserve_exact(table.len() * 2).is_err() {
            break;
        }
        larger.resize_with(table.len() * 2, || None);
        for known in table.drain(..).flatten() {
            // Those of different places in the smaller table have different ones in the larger.
            if let Some(place) = place(&larger, hash(&known)) {
                larger[place] = Some(known);
            }
        }
        *table = larger;
    }
    let place = place(table, hash(&peer))?;
    table[place].replace(peer)
}

/// Where in a table, whose length is a power of two, something of this hash has its place.
#[inline]
fn place(table: &Table, hash: u64) -> Option<usize> {
    let mask = table.len().checked_sub(1)?;
    Some(usize::try_from(hash & 0xffff).unwrap_or(0) & mask)
}

#[inline]
fn hash_address(address: &SocketAddrAny) -> u64 {
    let mut hasher = AddressHasher(0);
    address.hash(&mut hasher);
    hasher.finish()
}

/// Quick, and no more than that: whoever makes addresses collide only makes them be translated again.
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0 >> 32
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut whole = [0; 8];
            whole[..word.len()].copy_from_slice(word);
            self.write_u64(u64::from_ne_bytes(whole));
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MIX);
    }
}

/// Objects lie 16 bytes apart; the rest of a pointer is mixed by a multiplication.
#[inline]
fn hash_object(object: *mut pyo3::ffi::PyObject) -> u64 {
    ((object.addr() as u64) >> 4).wrapping_mul(MIX) >> 32
}
