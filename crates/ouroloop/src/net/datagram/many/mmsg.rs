//! Linux: `recvmmsg` and `sendmmsg`.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::one::{Addressed, Arrival, MANY};
use crate::net::last_error;

/// The headers of one call, of which only those in use are ever written.
type Headers = [MaybeUninit<libc::mmsghdr>; MANY];
type Pieces = [MaybeUninit<libc::iovec>; MANY];

pub(in super::super) fn receive(
    fd: BorrowedFd<'_>,
    arena: &mut [MaybeUninit<u8>],
    (stride, room): (usize, usize),
    arrivals: &mut [Arrival],
) -> Result<usize, Errno> {
    let mut headers: Headers = [const { MaybeUninit::uninit() }; MANY];
    let mut pieces: Pieces = [const { MaybeUninit::uninit() }; MANY];
    let mut wanted = 0;
    let rooms = arena.chunks_mut(stride).zip(arrivals.iter_mut());
    for ((header, piece), (content, arrival)) in headers.iter_mut().zip(&mut pieces).zip(rooms) {
        let content = &mut content[..room];
        let piece = piece
            .write(libc::iovec { iov_base: content.as_mut_ptr().cast(), iov_len: content.len() });
        header.write(libc::mmsghdr { msg_hdr: arrival.header(piece), msg_len: 0 });
        wanted += 1;
    }
    let received = call(|| {
        // SAFETY: the first `wanted` headers are written. Each points to a piece, and by it to room
        // in the arena, and to room for a name, all of which outlive the call and are borrowed for
        // nobody else.
        unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                wanted,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        }
    })?;
    for (header, arrival) in headers.iter().zip(arrivals).take(received) {
        // SAFETY: the kernel received into the first headers, which were written before.
        let header = unsafe { header.assume_init_ref() };
        arrival.describe(&header.msg_hdr, header.msg_len as usize);
    }
    Ok(received)
}

pub(in super::super) fn send<'a>(
    fd: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = Addressed<'a>>,
) -> Result<usize, Errno> {
    let mut headers: Headers = [const { MaybeUninit::uninit() }; MANY];
    let mut pieces: Pieces = [const { MaybeUninit::uninit() }; MANY];
    let mut offered = 0;
    for ((header, piece), (content, to)) in headers.iter_mut().zip(&mut pieces).zip(datagrams) {
        let piece = piece.write(libc::iovec {
            iov_base: content.as_ptr().cast_mut().cast(),
            iov_len: content.len(),
        });
        // SAFETY: a header of zeroes is valid: no name, no pieces, no ancillary data.
        let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        if let Some(to) = to {
            message.msg_name = to.as_ptr().cast_mut().cast();
            message.msg_namelen = to.addr_len();
        }
        message.msg_iov = piece;
        message.msg_iovlen = 1;
        header.write(libc::mmsghdr { msg_hdr: message, msg_len: 0 });
        offered += 1;
    }
    call(|| {
        // SAFETY: the first `offered` headers are written; what they point to outlives the call,
        // which only reads it.
        unsafe {
            libc::sendmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                offered,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        }
    })
}

fn call(mut call: impl FnMut() -> libc::c_int) -> Result<usize, Errno> {
    rustix::io::retry_on_intr(|| usize::try_from(call()).map_err(|_| last_error()))
}
