//! Many datagrams with one system call, where there is such a call.
//!
//! One mechanism, one file, each with the same two functions:
//!
//! * `receive` fills pieces of `room` bytes, `stride` bytes apart, with a datagram each and
//!   describes the `i`-th in `arrivals[i]`; it answers how many came, at least one.
//! * `send` writes datagrams in order until the kernel refuses one; it answers how many it took,
//!   at least one. An error is that of the first datagram, which stays unsent; that of a later
//!   one is found by the next call, which begins with it.
//!
//! Neither blocks, whatever the descriptor's own flags say, and neither does [`send_one`], which is there
//! because a call for many that is given one takes a tenth longer.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod mmsg;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod one_by_one;

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{SendFlags, SocketAddrAny};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use mmsg::{receive, send};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use one_by_one::{receive, send};

/// No call takes more datagrams than this.
pub(super) const MANY: usize = 64;

/// A datagram to be sent: its content, and where to if not to the connected peer.
pub(super) type Addressed<'a> = (&'a [u8], Option<&'a SocketAddrAny>);

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
pub(super) struct Arrival {
    /// How many bytes of it lie in its piece.
    pub(super) length: usize,
    /// Whether it was longer than its piece; the rest of it is lost.
    pub(super) truncated: bool,
    name: MaybeUninit<libc::sockaddr_storage>,
    /// This many bytes of `name` are written.
    name_length: libc::socklen_t,
}

impl Arrival {
    pub(super) const fn new() -> Self {
        Self { length: 0, truncated: false, name: MaybeUninit::uninit(), name_length: 0 }
    }

    /// The sender's address; `None` where it has none, as an unbound Unix socket.
    pub(super) fn sender(&self) -> Option<SocketAddrAny> {
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

    fn header(&mut self, piece: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: a header of zeroes is valid: no name, no pieces, no ancillary data. Some targets
        // have private padding in it, so it cannot be written out.
        let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.msg_name = self.name.as_mut_ptr().cast();
        header.msg_namelen = NAME_ROOM;
        header.msg_iov = piece;
        header.msg_iovlen = 1;
        header
    }

    fn describe(&mut self, header: &libc::msghdr, length: usize) {
        self.length = length;
        self.truncated = header.msg_flags & libc::MSG_TRUNC != 0;
        self.name_length = header.msg_namelen;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "128 bytes")]
const NAME_ROOM: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    type Receive = fn(
        BorrowedFd<'_>,
        &mut [MaybeUninit<u8>],
        (usize, usize),
        &mut [Arrival],
    ) -> Result<usize, Errno>;

    fn receives(receive: Receive) {
        let (near, far) = UnixDatagram::pair().expect("a pair");
        let mut arena = [MaybeUninit::uninit(); 64];
        let mut arrivals = [Arrival::new(); 4];
        let call = |arena: &mut [MaybeUninit<u8>], arrivals: &mut [Arrival]| {
            receive(near.as_fd(), arena, (16, 8), arrivals)
        };
        assert_eq!(call(&mut arena, &mut arrivals), Err(Errno::AGAIN));
        for content in [&b"one"[..], b"", b"exactly8", b"nine char", b"last"] {
            far.send(content).expect("room");
        }
        assert_eq!(call(&mut arena, &mut arrivals), Ok(4));
        let lengths = arrivals.map(|arrival| (arrival.length, arrival.truncated));
        assert_eq!(lengths, [(3, false), (0, false), (8, false), (8, true)]);
        assert!(arrivals.iter().all(|arrival| arrival.sender().is_none()));
        // SAFETY: the kernel has written eight bytes there.
        let third = arena[32..40].iter().map(|byte| unsafe { byte.assume_init() });
        assert!(third.eq(*b"exactly8"));
        assert_eq!(call(&mut arena, &mut arrivals), Ok(1));
        assert_eq!(arrivals[0].length, 4);
    }

    #[test]
    fn every_mechanism_receives_alike() {
        receives(receive);
        receives(one_by_one::receive);
    }

    type Send = fn(BorrowedFd<'_>, &mut dyn Iterator<Item = Addressed<'_>>) -> Result<usize, Errno>;

    fn sends(send: Send) {
        let (near, far) = UnixDatagram::pair().expect("a pair");
        let contents = [&b"one"[..], b"", b"three"];
        let mut datagrams = contents.iter().map(|content| (*content, None));
        assert_eq!(send(near.as_fd(), &mut datagrams), Ok(3));
        let mut buffer = [0; 16];
        for content in contents {
            let length = far.recv(&mut buffer).expect("it was sent");
            assert_eq!(&buffer[..length], content);
        }
        let filled = std::iter::from_fn(|| {
            let mut datagrams = contents.iter().map(|content| (*content, None));
            send(near.as_fd(), &mut datagrams).ok()
        });
        assert!(filled.count() > 0);
        let mut datagrams = contents.iter().map(|content| (*content, None));
        assert_eq!(send(near.as_fd(), &mut datagrams), Err(Errno::AGAIN));
        drop(far);
        let mut datagrams = contents.iter().map(|content| (*content, None));
        assert_eq!(send(near.as_fd(), &mut datagrams), Err(Errno::CONNREFUSED));
    }

    #[test]
    fn every_mechanism_sends_alike() {
        sends(|fd, datagrams| send(fd, datagrams));
        sends(|fd, datagrams| one_by_one::send(fd, datagrams));
    }
}
