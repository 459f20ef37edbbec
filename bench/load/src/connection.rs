//! A client's connection with one exchange under way at most.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::channel::{Channel, Plain};
use crate::exchange::{Exchange, Kind};
use crate::poller::Poller;

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A TCP connection.
    Tcp,
    /// A connected UDP socket; a message is a datagram.
    Udp,
    /// TLS on a TCP connection.
    #[cfg(feature = "tls")]
    Tls,
}

impl Carrier {
    /// Makes a socket that is connected to `target`.
    ///
    /// # Errors
    ///
    /// The kernel's, and those of a TLS handshake.
    pub fn connect(self, target: SocketAddr) -> io::Result<Box<dyn Channel>> {
        match self {
            Self::Tcp => Ok(Box::new(Plain::from(TcpStream::connect(target)?))),
            #[cfg(feature = "tls")]
            Self::Tls => Ok(Box::new(crate::tls::connect(TcpStream::connect(target)?)?)),
            Self::Udp => {
                let socket = if target.is_ipv4() {
                    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?
                } else {
                    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?
                };
                socket.connect(target)?;
                Ok(Box::new(Plain::from(socket)))
            }
        }
    }
}

/// A non-blocking socket, its place in the poller and its exchange.
#[derive(Debug)]
pub struct Connection {
    channel: Box<dyn Channel>,
    token: usize,
    exchange: Exchange,
    sent: usize,
    wants_write: bool,
    due: Instant,
}

impl Connection {
    /// Takes over what is connected and registers it under `token`.
    pub fn new(
        channel: Box<dyn Channel>,
        token: usize,
        kind: Kind,
        poller: &Poller,
    ) -> io::Result<Self> {
        let socket = channel.socket();
        // A UDP socket has no such option, and no such delay.
        let _ = rustix::net::sockopt::set_tcp_nodelay(socket, true);
        rustix::io::ioctl_fionbio(socket, true)?;
        poller.add(socket, token)?;
        Ok(Self {
            channel,
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
            match self.channel.write(&request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let wants_write = self.sent < request.len();
        if wants_write != self.wants_write {
            poller.want_write(self.channel.socket(), self.token, wants_write)?;
            self.wants_write = wants_write;
        }
        Ok(())
    }

    /// Reads once; answers whether that completed the reply.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<bool, Box<dyn Error>> {
        match self.channel.read(buffer) {
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
        self.channel.socket()
    }
}
