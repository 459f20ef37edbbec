//! Sockets that wait for connections.
//!
//! An accepted descriptor is non-blocking, closed on exec and owned by the answer from the first
//! moment, so that a caller who drops the answer closes the connection.
//!
//! The free functions accept on a listening socket that belongs to someone else (a Python
//! `socket`); [`Listener`] owns one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, sockopt};

use crate::net::connect::stream_socket;

/// What came of accepting.
#[derive(Debug)]
#[must_use]
pub enum Accepted {
    /// A connection and its peer, which a Unix socket need not name.
    Stream(OwnedFd, Option<SocketAddrAny>),
    /// Nobody waits.
    WouldBlock,
    /// The process or the system has no room for one more descriptor (`EMFILE`, `ENFILE`,
    /// `ENOBUFS`, `ENOMEM`). The connection still waits: accept again after a pause, or the
    /// listener stays readable and the loop spins.
    OutOfResources(io::Error),
    /// That connection was gone before it was accepted, or a signal came: go on.
    Aborted,
    /// The listener itself is broken.
    Failed(io::Error),
}

/// Accepts one connection.
pub fn accept(listener: impl AsFd) -> Accepted {
    match accept_from(listener.as_fd()) {
        Ok((fd, peer)) => Accepted::Stream(fd, peer),
        Err(Errno::AGAIN) => Accepted::WouldBlock,
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
            Accepted::OutOfResources(error.into())
        }
        Err(error) if is_the_connections(error) => Accepted::Aborted,
        Err(error) => Accepted::Failed(error.into()),
    }
}

/// Accepts what waits, at most `limit` connections in one go so that a flood of them does not
/// keep the loop.
///
/// Aborted connections are passed over, but count. The batch ends when nobody waits, or after the
/// first [`Accepted::OutOfResources`] or [`Accepted::Failed`], which it hands out.
pub fn accept_batch(listener: BorrowedFd<'_>, limit: usize) -> Batch<'_> {
    Batch { listener, left: limit }
}

/// An iterator over waiting connections; see [`accept_batch`].
#[derive(Debug)]
#[must_use]
pub struct Batch<'fd> {
    listener: BorrowedFd<'fd>,
    left: usize,
}

impl Iterator for Batch<'_> {
    type Item = Accepted;

    fn next(&mut self) -> Option<Accepted> {
        while self.left > 0 {
            self.left -= 1;
            match accept(self.listener) {
                Accepted::Aborted => {}
                Accepted::WouldBlock => self.left = 0,
                stream @ Accepted::Stream(..) => return Some(stream),
                refusal @ (Accepted::OutOfResources(_) | Accepted::Failed(_)) => {
                    self.left = 0;
                    return Some(refusal);
                }
            }
        }
        None
    }
}

/// A listening socket and its backlog.
///
/// Dropping it closes the descriptor; connections that nobody accepted are reset by the kernel.
///
/// ```
/// use ouroloop::net::{Accepted, Listener};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 100)?;
/// assert!(matches!(listener.accept(), Accepted::WouldBlock));
/// assert!(listener.local_addr()?.port() > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    backlog: usize,
}

impl Listener {
    /// Binds `address`, with `SO_REUSEADDR` as servers want it, and listens.
    ///
    /// # Errors
    /// The kernel's, of `socket`, `bind` or `listen`; no descriptor is left open.
    pub fn bind(address: SocketAddr, backlog: u16) -> io::Result<Self> {
        let fd = stream_socket(&address)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        rustix::net::bind(&fd, &address)?;
        rustix::net::listen(&fd, i32::from(backlog))?;
        Ok(Self { fd, backlog: usize::from(backlog) })
    }

    /// A listener on a socket that is bound, listening and non-blocking already.
    #[must_use]
    pub const fn from_fd(fd: OwnedFd, backlog: u16) -> Self {
        Self { fd, backlog: backlog as usize }
    }

    /// Accepts one connection.
    pub fn accept(&self) -> Accepted {
        accept(&self.fd)
    }

    /// Accepts what waits, at most as many connections as the backlog holds.
    pub fn accept_batch(&self) -> Batch<'_> {
        accept_batch(self.fd.as_fd(), self.backlog.max(1))
    }

    /// The address that it is bound to, with the port that the kernel chose.
    ///
    /// # Errors
    /// `EAFNOSUPPORT` for a socket that is not of the Internet.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getsockname(&self.fd)?.try_into()?)
    }

    /// Gives the descriptor away, open.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(not(target_vendor = "apple"))]
fn accept_from(fd: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    use rustix::net::SocketFlags;
    rustix::net::acceptfrom_with(fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

#[cfg(target_vendor = "apple")]
fn accept_from(fd: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    let (fd, peer) = rustix::net::acceptfrom(fd)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok((fd, peer))
}

/// Linux passes an error that is pending on the *new* connection on to `accept`, and says to treat
/// it like `EAGAIN` (accept(2), "Error handling"); a firewall answers EPERM.
fn is_the_connections(error: Errno) -> bool {
    const NETWORK: [Errno; 8] = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PROTO,
        Errno::PERM,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
    ];
    NETWORK.contains(&error)
}
