//! A bare epoll echo server: what a message costs when nothing stands above the kernel.
//!
//! One thread, level-triggered; what is readable is read once into a shared buffer and written back
//! at once. Only what the socket does not take is kept, and nothing is read from a connection while
//! something is kept for it.

use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use crate::channel::{Channel, Plain};
use crate::driver::READ_SIZE;
use crate::poller::Poller;

const LISTENER: usize = usize::MAX;

struct Peer<C> {
    channel: C,
    unsent: Vec<u8>,
}

enum Outcome {
    Open,
    Closed,
}

/// Serves until the process ends.
///
/// # Errors
///
/// When the poller or the listener fails; a failed connection is only closed.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    serve_above(listener, |stream| Ok(Plain::from(stream)))
}

/// Serves on what `build` puts onto each connection.
///
/// # Errors
///
/// As [`serve`].
pub fn serve_above<C: Channel>(
    listener: &TcpListener,
    build: impl Fn(TcpStream) -> io::Result<C>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut poller = Poller::new()?;
    poller.add(listener, LISTENER)?;
    let mut peers = Vec::new();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        for index in 0..poller.wait(None)? {
            let (token, readable) = poller.event(index);
            if token == LISTENER {
                accept(listener, &build, &poller, &mut peers)?;
                continue;
            }
            let Some(peer) = &mut peers[token] else { continue };
            if !matches!(peer.serve(token, readable, &poller, &mut buffer), Ok(Outcome::Open)) {
                peers[token] = None;
            }
        }
    }
}

/// Serves until the process ends: a datagram that comes goes back, one call each way.
///
/// # Errors
///
/// When the poller or the socket fails.
pub fn serve_datagrams(socket: &UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut poller = Poller::new()?;
    poller.add(socket, 0)?;
    let mut buffer = vec![0; READ_SIZE];
    loop {
        poller.wait(None)?;
        match socket.recv_from(&mut buffer) {
            Ok((count, sender)) => drop(socket.send_to(&buffer[..count], sender)?),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Accepts all who wait; a peer's place is the number of its descriptor.
fn accept<C: Channel>(
    listener: &TcpListener,
    build: &impl Fn(TcpStream) -> io::Result<C>,
    poller: &Poller,
    peers: &mut Vec<Option<Peer<C>>>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                let token = usize::try_from(stream.as_raw_fd()).map_err(io::Error::other)?;
                let Ok(channel) = build(stream) else { continue };
                rustix::io::ioctl_fionbio(channel.socket(), true)?;
                poller.add(channel.socket(), token)?;
                if peers.len() <= token {
                    peers.resize_with(token + 1, || None);
                }
                peers[token] = Some(Peer { channel, unsent: Vec::new() });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

impl<C: Channel> Peer<C> {
    fn serve(
        &mut self,
        token: usize,
        readable: bool,
        poller: &Poller,
        buffer: &mut [u8],
    ) -> io::Result<Outcome> {
        if !self.unsent.is_empty() {
            let sent = send(&mut self.channel, &self.unsent)?;
            self.unsent.drain(..sent);
            if !self.unsent.is_empty() {
                return Ok(Outcome::Open);
            }
            poller.want_write(self.channel.socket(), token, false)?;
        }
        if !readable {
            return Ok(Outcome::Open);
        }
        let count = match self.channel.read(buffer) {
            Ok(0) => return Ok(Outcome::Closed),
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(Outcome::Open);
            }
            Err(error) => return Err(error),
        };
        let sent = send(&mut self.channel, &buffer[..count])?;
        if sent < count {
            self.unsent.extend_from_slice(&buffer[sent..count]);
            poller.want_write(self.channel.socket(), token, true)?;
        }
        Ok(Outcome::Open)
    }
}

/// Sends what the socket takes; answers how much that was.
fn send(channel: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    match channel.write(bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(0)
        }
        answer => answer,
    }
}
