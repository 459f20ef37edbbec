//! A client's connection with one exchange under way at most.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use crate::exchange::{Exchange, Kind};
use crate::poller::Poller;

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A TCP connection.
    Tcp,
    /// A connected UDP socket; a message is a datagram.
    Udp,
}

impl Carrier {
    /// Makes a socket that is connected to `target`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn connect(self, target: SocketAddr) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp => Ok(TcpStream::connect(target)?.into()),
            Self::Udp => {
                let socket = if target.is_ipv4() {
                    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?
                } else {
                    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?
                };
                socket.connect(target)?;
                Ok(socket.into())
            }
        }
    }
}

/// A non-blocking socket, its place in the poller and its exchange.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    token: usize,
    exchange: Exchange,
    sent: usize,
    wants_write: bool,
    due: Instant,
}

impl Connection {
    /// Takes over a connected socket and registers it under `token`.
    pub fn new(socket: OwnedFd, token: usize, kind: Kind, poller: &Poller) -> io::Result<Self> {
        // A UDP socket has no such option, and no such delay.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        rustix::io::ioctl_fionbio(&socket, true)?;
        poller.add(&socket, token)?;
        Ok(Self {
            socket,
            token,
            exchange: Exchange::new(kind, token),
            sent: 0,
            wants_write: false,
            due: Instant::now(),
        })
    }

    /// When the exchange under way should have begun: where its latency is counted from.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Begins the next exchange, which was due at `due`.
    pub fn begin(&mut self, due: Instant, poller: &Poller) -> io::Result<()> {
        self.due = due;
        self.sent = 0;
        self.exchange.begin();
        self.flush(poller)
    }

    /// Sends what the socket takes of the request.
    pub fn flush(&mut self, poller: &Poller) -> io::Result<()> {
        let request = self.exchange.request();
        while self.sent < request.len() {
            match rustix::io::write(&self.socket, &request[self.sent..]).map_err(io::Error::from) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let wants_write = self.sent < request.len();
        if wants_write != self.wants_write {
            poller.want_write(&self.socket, self.token, wants_write)?;
            self.wants_write = wants_write;
        }
        Ok(())
    }

    /// Reads once; answers whether that completed the reply.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<bool, Box<dyn Error>> {
        match rustix::io::read(&self.socket, &mut *buffer).map_err(io::Error::from) {
            Ok(0) => Err("the server closed a connection in the middle of a reply".into()),
            Ok(count) => Ok(self.exchange.receive(&buffer[..count])?),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
