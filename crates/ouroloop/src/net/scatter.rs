//! A read into two places.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// Reads once from a socket, without waiting: into the first room and, what does not fit, into the second.
/// Answers how many bytes that were, which are initialised.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    rooms: [&mut [MaybeUninit<u8>]; 2],
) -> Result<usize, Errno> {
    let mut pieces =
        rooms.map(|room| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() });
    // SAFETY: a header of zeroes is valid: no name, no pieces, no ancillary data.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = pieces.as_mut_ptr();
    // Its type differs from system to system.
    message.msg_iovlen = 2;
    // SAFETY: the header points to two pieces, and they to rooms, which outlive the call and are borrowed
    // for nobody else; the kernel writes to them alone.
    let received = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    usize::try_from(received).map_err(|_| super::last_error())
}
