//! One datagram: how it is addressed, what is told of it when it comes, and a call that sends it.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{SendFlags, SocketAddrAny};

/// No call takes more datagrams than this.
pub(in super::super) const MANY: usize = 64;

/// A datagram to be sent: its content, and where to if not to the connected peer.
pub(in super::super) type Addressed<'a> = (&'a [u8], Option<&'a SocketAddrAny>);

#[cfg(target_vendor = "apple")]
const FLAGS: SendFlags = SendFlags::DONTWAIT;
#[cfg(not(target_vendor = "apple"))]
const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Writes one datagram.
#[inline]
pub(in crate::net) fn send_one(
    fd: BorrowedFd<'_>,
    (content, to): Addressed<'_>,
) -> Result<(), Errno> {
    let sent = rustix::io::retry_on_intr(|| match to {
        Some(to) => rustix::net::sendto(fd, content, FLAGS, to),
        None => rustix::net::send(fd, content, FLAGS),
    });
    sent.map(drop)
}

/// What the kernel told of a datagram that has come.
#[derive(Clone, Copy)]
pub(in super::super) struct Arrival {
    /// How many bytes of it lie in its piece.
    pub(in super::super) length: usize,
    /// Whether it was longer than its piece; the rest of it is lost.
    pub(in super::super) truncated: bool,
    name: MaybeUninit<libc::sockaddr_storage>,
    /// This many bytes of `name` are written.
    name_length: libc::socklen_t,
}

impl Arrival {
    pub(in super::super) const fn new() -> Self {
        Self { length: 0, truncated: false, name: MaybeUninit::uninit(), name_length: 0 }
    }

    /// The sender's address; `None` where it has none, as an unbound Unix socket.
    pub(in super::super) fn sender(&self) -> Option<SocketAddrAny> {
        let length = self.name_length as usize;
        let family = size_of::<libc::sa_family_t>();
        if length < family || length > size_of::<libc::sockaddr_storage>() {
            return None;
        }
        // SAFETY: the kernel has written `name_length` bytes of an address, the family with them,
        // and no more than there is room for.
        let sender = unsafe { SocketAddrAny::read(self.name.as_ptr().cast(), self.name_length) };
        (sender.address_family() != rustix::net::AddressFamily::UNSPEC).then_some(sender)
    }

    pub(super) fn header(&mut self, piece: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: a header of zeroes is valid: no name, no pieces, no ancillary data. Some targets
        // have private padding in it, so it cannot be written out.
        let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.msg_name = self.name.as_mut_ptr().cast();
        header.msg_namelen = NAME_ROOM;
        header.msg_iov = piece;
        header.msg_iovlen = 1;
        header
    }

    pub(super) fn describe(&mut self, header: &libc::msghdr, length: usize) {
        self.length = length;
        self.truncated = header.msg_flags & libc::MSG_TRUNC != 0;
        self.name_length = header.msg_namelen;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "128 bytes")]
const NAME_ROOM: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
