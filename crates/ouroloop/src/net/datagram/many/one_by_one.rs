//! Anywhere: one call a datagram.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::one::{Addressed, Arrival, MANY, send_one};
use crate::net::last_error;

pub(in super::super) fn receive(
    fd: BorrowedFd<'_>,
    arena: &mut [MaybeUninit<u8>],
    (stride, room): (usize, usize),
    arrivals: &mut [Arrival],
) -> Result<usize, Errno> {
    let mut rooms = arena.chunks_mut(stride).zip(arrivals.iter_mut()).take(MANY);
    until_refused(|| {
        let (content, arrival) = rooms.next()?;
        let content = &mut content[..room];
        let mut piece =
            libc::iovec { iov_base: content.as_mut_ptr().cast(), iov_len: content.len() };
        let mut header = arrival.header(&mut piece);
        let length = rustix::io::retry_on_intr(|| {
            // SAFETY: the header points to a piece, and by it to room in the arena, and to room for
            // a name, all of which outlive the call and are borrowed for nobody else.
            let length =
                unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
            usize::try_from(length).map_err(|_| last_error())
        });
        Some(length.map(|length| arrival.describe(&header, length)))
    })
}

pub(in super::super) fn send<'a>(
    fd: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = Addressed<'a>>,
) -> Result<usize, Errno> {
    let mut datagrams = datagrams.take(MANY);
    until_refused(|| Some(send_one(fd, datagrams.next()?)))
}

/// Repeats `step` until it has nothing to do or fails; a failure counts only at the first step,
/// for the kernel reports it again.
fn until_refused(mut step: impl FnMut() -> Option<Result<(), Errno>>) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(outcome) = step() {
        match outcome {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}
