//! One system call that moves a stream socket's bytes, and what came of it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Where the flag is missing, SIGPIPE is ignored by Rust's and Python's start-up alike.
#[cfg(target_vendor = "apple")]
pub(super) const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT;
#[cfg(not(target_vendor = "apple"))]
pub(super) const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// Reads once from a socket, without waiting even if it is a blocking one; an empty buffer receives
/// no data, which is not the end.
#[inline]
pub fn receive(socket: impl AsFd, buffer: &mut [MaybeUninit<u8>]) -> Received {
    read(socket.as_fd(), buffer.len(), |fd| {
        rustix::net::recv(fd, &mut *buffer, RecvFlags::DONTWAIT).map(|(_, n)| n)
    })
}

/// Writes once to a socket, without waiting even if it is a blocking one.
#[inline]
pub fn send(socket: impl AsFd, bytes: &[u8]) -> Sent {
    match send_once(socket.as_fd(), bytes) {
        Ok(n) => Sent::Bytes(n),
        Err(Errno::AGAIN) => Sent::WouldBlock,
        Err(error) => Sent::Failed(error.into()),
    }
}

/// Reads once by `recv` into room for `room` bytes, however often it is interrupted.
#[inline]
pub(super) fn read(
    fd: BorrowedFd<'_>,
    room: usize,
    mut recv: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
) -> Received {
    match rustix::io::retry_on_intr(|| recv(fd)) {
        Ok(0) if room > 0 => Received::Eof,
        Ok(n) => Received::Data(n),
        Err(Errno::AGAIN) => Received::WouldBlock,
        Err(error) => Received::Failed(error.into()),
    }
}

/// Writes once, however often it is interrupted.
pub(super) fn send_once(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    rustix::io::retry_on_intr(|| rustix::net::send(fd, bytes, SEND_FLAGS))
}

/// What came of a read.
#[derive(Debug)]
#[must_use]
pub enum Received {
    /// This many bytes now stand at the buffer's beginning.
    Data(usize),
    /// The peer will send nothing more.
    Eof,
    /// Nothing is there yet.
    WouldBlock,
    /// The stream is broken.
    Failed(io::Error),
}

/// What came of a write past the empty queue.
#[derive(Debug)]
#[must_use]
pub enum Sent {
    /// The kernel took this many bytes, perhaps not all.
    Bytes(usize),
    /// The kernel has no room yet.
    WouldBlock,
    /// The stream is broken.
    Failed(io::Error),
}
