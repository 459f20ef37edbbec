//! The descriptor that ends a wait: an eventfd on Linux, a pipe elsewhere.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::waker::Interrupt;

/// A descriptor that becomes readable when interrupted.
#[derive(Debug)]
pub struct InterruptDescriptor {
    read: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    write: OwnedFd,
}

impl InterruptDescriptor {
    /// A new descriptor, non-blocking and closed on exec.
    ///
    /// # Errors
    /// The kernel's: `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::{EventfdFlags, eventfd};
            Ok(Self { read: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let (read, write) = rustix::pipe::pipe()?;
            for end in [&read, &write] {
                rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(end, true)?;
            }
            Ok(Self { read, write })
        }
    }

    /// The descriptor to watch for readability.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// Makes the descriptor unreadable again.
    pub fn clear(&self) {
        let mut bytes = [0_u8; 64];
        // Either it holds something, which is read in one go, or it is empty (EAGAIN): clear in
        // both cases.
        let _ = rustix::io::read(&self.read, &mut bytes);
    }
}

impl Interrupt for InterruptDescriptor {
    fn interrupt(&self) {
        #[cfg(target_os = "linux")]
        let (end, bytes) = (&self.read, 1_u64.to_ne_bytes());
        #[cfg(not(target_os = "linux"))]
        let (end, bytes) = (&self.write, [1_u8]);
        // A full eventfd or pipe (EAGAIN) interrupts as well as one more byte would.
        let _ = rustix::io::write(end, &bytes);
    }
}
