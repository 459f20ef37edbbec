//! Connecting without blocking.
//!
//! 1. [`start`] asks the kernel once.
//! 2. Answered [`Connecting::InProgress`], the owner watches the descriptor for writability.
//! 3. Once it is writable, [`finish`] tells how it went. Until then the descriptor must not be
//!    read or written.
//!
//! The descriptor stays its owner's all the time; dropping it at any point ends the attempt.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{AddressFamily, SocketType, sockopt};

/// What came of asking for a connection.
#[derive(Debug)]
#[must_use]
pub enum Connecting {
    /// It is there.
    Done,
    /// It is on its way: [`finish`] once the descriptor is writable.
    InProgress,
    /// It was refused.
    Failed(io::Error),
}

/// Asks for a connection of a non-blocking socket to `address`.
///
/// ```
/// use ouroloop::net::{Connecting, Listener, connect};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 1)?;
/// let address = listener.local_addr()?;
/// let socket = connect::stream_socket(&address)?;
/// match connect::start(&socket, &address) {
///     Connecting::Done => {}
///     Connecting::InProgress => { /* wait for writability, then: */ connect::finish(&socket)? }
///     Connecting::Failed(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
pub fn start(socket: impl AsFd, address: &impl SocketAddrArg) -> Connecting {
    match rustix::net::connect(socket, address) {
        Ok(()) => Connecting::Done,
        // An interrupted connect goes on by itself; asking again would answer EALREADY.
        Err(Errno::INPROGRESS | Errno::INTR | Errno::ALREADY) => Connecting::InProgress,
        Err(error) => Connecting::Failed(error.into()),
    }
}

/// Learns how an attempt ended, once the descriptor is writable.
///
/// # Errors
/// Why the connection failed, such as `ECONNREFUSED` or `ETIMEDOUT`.
pub fn finish(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::socket_error(socket)??)
}

/// A new TCP socket of the address's family, non-blocking and closed on exec.
///
/// # Errors
/// The kernel's: `EMFILE`, `ENFILE`, `EAFNOSUPPORT`.
pub fn stream_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::net::SocketFlags;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
    }
    #[cfg(target_vendor = "apple")]
    {
        let fd = rustix::net::socket(family, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(fd)
    }
}
