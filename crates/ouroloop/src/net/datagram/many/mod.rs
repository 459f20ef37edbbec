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
mod one;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod one_by_one;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use mmsg::{receive, send};
pub(super) use one::Arrival;
pub(in crate::net) use one::send_one;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use one_by_one::{receive, send};

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixDatagram;

    use rustix::io::Errno;

    use super::one::Addressed;
    use super::*;

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
