//! From a file to a socket without passing through the program: `sendfile(2)`.

use std::os::fd::AsFd;

use super::Sent;

/// The kernel moves no more than this in one call.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LARGEST_MOVE: u64 = 0x7fff_f000;

/// Moves up to `count` bytes of `file`, from `offset` on, into a socket; no bytes are the file's end.
/// The file's own position stays where it is.
///
/// Reading the file may wait for the disk, and writing waits for the peer if the socket is a
/// blocking one.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn send_file(socket: impl AsFd, file: impl AsFd, offset: u64, count: u64) -> Sent {
    use rustix::io::Errno;
    let count = usize::try_from(count.min(LARGEST_MOVE)).unwrap_or(usize::MAX);
    match rustix::fs::sendfile(socket, file, Some(&mut offset.clone()), count) {
        Ok(moved) => Sent::Bytes(moved),
        // A signal interrupts only a blocking socket, and whoever sends is to hear of it.
        Err(Errno::AGAIN | Errno::INTR) => Sent::WouldBlock,
        Err(error) => Sent::Failed(error.into()),
    }
}

/// Answers that this system has nothing of the kind.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn send_file(_socket: impl AsFd, _file: impl AsFd, _offset: u64, _count: u64) -> Sent {
    Sent::Failed(std::io::Error::from_raw_os_error(libc::ENOSYS))
}
