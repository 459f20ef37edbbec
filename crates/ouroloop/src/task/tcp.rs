//! TCP for tasks.
//!
//! Every operation tries first and waits only when it must; a descriptor is unwatched before it is
//! closed, and closed when its owner is dropped.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::net::sockopt;

use crate::net::connect::{self, Connecting};
use crate::net::{Accepted, Listener};
use crate::net::{Received, Sent, ShutDown, Stream};
use crate::task::readiness::Registration;
use crate::task::runtime::Runtime;
use crate::task::watch::Side;

const BACKLOG: u16 = 1024;

/// A TCP socket that waits for connections.
///
/// Dropping it closes the descriptor.
///
/// ```
/// use ouroloop::{TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// ouroloop::run(async {
///     let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, peer) = listener.accept().await?;
///     assert_eq!(peer, client.local_addr()?);
///
///     client.write_all(b"hello").await?;
///     let mut buffer = [0; 64];
///     let n = server.read(&mut buffer).await?;
///     assert_eq!(&buffer[..n], b"hello");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct TcpListener {
    // Before the socket, so that it is dropped first.
    registration: Registration,
    listener: Listener,
}

impl TcpListener {
    /// Binds an address, with `SO_REUSEADDR`, and listens.
    ///
    /// # Errors
    /// The kernel's, such as `EADDRINUSE` or `EACCES`.
    ///
    /// # Panics
    /// Outside of [`run`](crate::run).
    pub fn bind(address: impl Into<SocketAddr>) -> io::Result<Self> {
        let runtime = Runtime::current("TcpListener::bind");
        let listener = Listener::bind(address.into(), BACKLOG)?;
        Ok(Self { registration: Registration::new(runtime, listener.as_fd()), listener })
    }

    /// Waits for a connection; answers it and its peer's address.
    ///
    /// # Cancellation
    /// No connection is lost: one that has not been answered still waits for the next call.
    ///
    /// # Errors
    /// The kernel's. After `EMFILE`, `ENFILE`, `ENOBUFS` or `ENOMEM` the connection still waits:
    /// close something, or [`sleep`](crate::sleep), before trying again.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let runtime = self.registration.runtime();
        loop {
            runtime.spend().await;
            match self.listener.accept() {
                Accepted::Stream(fd, peer) => {
                    let peer = peer.map(SocketAddr::try_from).transpose()?;
                    let peer = peer.ok_or(io::ErrorKind::NotConnected)?;
                    return Ok((TcpStream::new(Rc::clone(runtime), fd), peer));
                }
                Accepted::WouldBlock => self.registration.ready(Side::Read).await?,
                Accepted::Aborted => {}
                Accepted::OutOfResources(error) | Accepted::Failed(error) => return Err(error),
            }
        }
    }

    /// The address that it is bound to, with the port that the kernel chose.
    ///
    /// # Errors
    /// None that a listener in use knows.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A TCP connection.
///
/// Every method takes `&self`, so that one task may read while another writes. Dropping it closes
/// the descriptor.
#[derive(Debug)]
pub struct TcpStream {
    // Before the socket, so that it is dropped first.
    registration: Registration,
    stream: RefCell<Stream<&'static [u8]>>,
    /// The last read left room in its buffer, so nothing was left to read: the next one waits
    /// first and saves the call that would answer EAGAIN. The watch is level-triggered: what came
    /// since is reported all the same.
    emptied: Cell<bool>,
}

impl TcpStream {
    fn new(runtime: Rc<Runtime>, fd: OwnedFd) -> Self {
        let registration = Registration::new(runtime, fd.as_fd());
        Self { registration, stream: RefCell::new(Stream::new(fd)), emptied: Cell::new(false) }
    }

    /// Connects to an address.
    ///
    /// # Cancellation
    /// Dropping the future ends the attempt and closes its descriptor.
    ///
    /// # Errors
    /// The kernel's, such as `ECONNREFUSED` or `ETIMEDOUT`; no descriptor is left open.
    ///
    /// # Panics
    /// Outside of [`run`](crate::run).
    pub async fn connect(address: impl Into<SocketAddr>) -> io::Result<Self> {
        let runtime = Runtime::current("TcpStream::connect");
        let address = address.into();
        let stream = Self::new(runtime, connect::stream_socket(&address)?);
        let connecting = stream.with_fd(|fd| Ok(connect::start(fd, &address)))?;
        match connecting {
            Connecting::Done => {}
            Connecting::InProgress => {
                stream.registration.ready(Side::Write).await?;
                stream.with_fd(|fd| connect::finish(fd))?;
            }
            Connecting::Failed(error) => return Err(error),
        }
        Ok(stream)
    }

    /// Reads what is there, waiting until something is; answers how many bytes now stand at the
    /// buffer's beginning, which is 0 only at the end of the stream or for an empty buffer.
    ///
    /// # Cancellation
    /// No byte is lost: those not answered still wait for the next call.
    ///
    /// # Errors
    /// The kernel's, such as `ECONNRESET`.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.emptied.get() && !buffer.is_empty() {
                self.registration.ready(Side::Read).await?;
                self.emptied.set(false);
            }
            self.registration.runtime().spend().await;
            let received = self.stream.borrow().receive_over(buffer);
            match received {
                Received::Data(n) => {
                    self.emptied.set(n < buffer.len());
                    return Ok(n);
                }
                Received::Eof => return Ok(0),
                Received::WouldBlock => self.emptied.set(true),
                Received::Failed(error) => return Err(error),
            }
        }
    }

    /// Writes as much as the kernel has room for, waiting until it has some; answers how many
    /// bytes it took.
    ///
    /// # Cancellation
    /// A call that has not been answered has written nothing.
    ///
    /// # Errors
    /// The kernel's, such as `EPIPE` or `ECONNRESET`.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.registration.runtime().spend().await;
            let sent = self.stream.borrow().send(bytes);
            match sent {
                Sent::Bytes(n) => return Ok(n),
                Sent::WouldBlock => self.registration.ready(Side::Write).await?,
                Sent::Failed(error) => return Err(error),
            }
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Cancellation
    /// A part may have been written by then, and how much is not known: end the connection.
    ///
    /// # Errors
    /// The kernel's, such as `EPIPE` or `ECONNRESET`; a part may have been written.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write(bytes).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Ends the stream for the peer, which reads its end after what has been written. Reading goes
    /// on. A second call does nothing.
    ///
    /// # Errors
    /// The kernel's: `ENOTCONN` after a reset.
    pub fn shutdown(&self) -> io::Result<()> {
        match self.stream.borrow_mut().shutdown_write() {
            ShutDown::Now | ShutDown::Later | ShutDown::Already => Ok(()),
            ShutDown::Failed(error) => Err(error),
        }
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `ENOTCONN` after a reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let peer = self.with_fd(|fd| Ok(rustix::net::getpeername(fd)?))?;
        Ok(peer.ok_or(io::ErrorKind::NotConnected)?.try_into()?)
    }

    /// This end's address.
    ///
    /// # Errors
    /// None that a connection knows.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with_fd(|fd| Ok(rustix::net::getsockname(fd)?.try_into()?))
    }

    /// Sends small writes at once (`true`), or lets the kernel gather them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.with_fd(|fd| Ok(sockopt::set_tcp_nodelay(fd, nodelay)?))
    }

    fn with_fd<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        let stream = self.stream.borrow();
        act(stream.fd().ok_or(io::ErrorKind::NotConnected)?)
    }

    #[cfg(test)]
    pub(super) fn number(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsRawFd;
        self.with_fd(|fd| Ok(fd.as_raw_fd())).expect("an open connection")
    }
}
