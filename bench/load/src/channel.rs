//! What bytes travel on: a bare socket, or TLS above one.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A connected socket with whatever lies above it; neither reading nor writing blocks.
pub trait Channel: Read + Write + Debug {
    /// The socket, to be watched.
    fn socket(&self) -> BorrowedFd<'_>;
}

/// A socket with nothing above it.
#[derive(Debug)]
pub struct Plain(OwnedFd);

impl<S: Into<OwnedFd>> From<S> for Plain {
    fn from(socket: S) -> Self {
        Self(socket.into())
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, buffer)?)
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel for Plain {
    fn socket(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
