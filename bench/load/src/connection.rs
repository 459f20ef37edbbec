//! A client's connection with one exchange under way at most.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::exchange::{Exchange, Kind};
use crate::poller::Poller;

/// A non-blocking socket, its place in the poller and its exchange.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    token: usize,
    exchange: Exchange,
    sent: usize,
    wants_write: bool,
    due: Instant,
}

impl Connection {
    /// Takes over a connected stream and registers it under `token`.
    pub fn new(stream: TcpStream, token: usize, kind: Kind, poller: &Poller) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        poller.add(&stream, token)?;
        Ok(Self {
            stream,
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
            match self.stream.write(&request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let wants_write = self.sent < request.len();
        if wants_write != self.wants_write {
            poller.want_write(&self.stream, self.token, wants_write)?;
            self.wants_write = wants_write;
        }
        Ok(())
    }

    /// Reads once; answers whether that completed the reply.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<bool, Box<dyn Error>> {
        match self.stream.read(buffer) {
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
        self.stream.as_fd()
    }
}
