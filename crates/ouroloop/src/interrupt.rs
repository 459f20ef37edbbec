//! The descriptor that ends a wait: an eventfd on Linux, a pipe elsewhere.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::fork::{self, Owner};
use crate::waker::Interrupt;

/// The open ends; on Linux they are one eventfd.
#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    write: OwnedFd,
}

impl Ends {
    fn new() -> io::Result<Self> {
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

    /// The same numbers lead to what is behind `others` from now on.
    fn lead_to(&self, others: &Self) -> io::Result<()> {
        fork::exchange(self.read.as_fd(), others.read.as_fd())?;
        #[cfg(not(target_os = "linux"))]
        fork::exchange(self.write.as_fd(), others.write.as_fd())?;
        Ok(())
    }
}

/// A descriptor that becomes readable when interrupted, until it is closed.
///
/// Other threads may hold it longer than its loop lives: interrupting it then does nothing, and
/// neither does a forked child, whose loop it is not.
#[derive(Debug)]
pub struct InterruptDescriptor {
    ends: RwLock<Option<Ends>>,
    number: RawFd,
    owner: Owner,
    /// Then a thread of the parent's may have had the lock at the fork, and nobody gives it back.
    was_taken_over: AtomicBool,
}

impl InterruptDescriptor {
    /// A new descriptor, non-blocking and closed on exec.
    ///
    /// # Errors
    /// The kernel's: `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let owner = Owner::current()?;
        let ends = Ends::new()?;
        let number = ends.read.as_raw_fd();
        let was_taken_over = AtomicBool::new(false);
        Ok(Self { ends: RwLock::new(Some(ends)), number, owner, was_taken_over })
    }

    /// Gives a forked child an object of its own behind the same number.
    ///
    /// # Errors
    /// The kernel's; [`fork::refusal`] if a thread of the parent's was closing it.
    pub(crate) fn take_over(&self) -> io::Result<()> {
        let ends = self.ends.try_read().map_err(|_| fork::refusal())?;
        if let Some(ends) = &*ends {
            ends.lead_to(&Ends::new()?)?;
        }
        self.was_taken_over.store(true, Ordering::Relaxed);
        self.owner.take_over();
        Ok(())
    }

    /// The descriptor to watch for readability.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.number
    }

    /// Makes the descriptor unreadable again.
    pub fn clear(&self) {
        let mut bytes = [0_u8; 64];
        // Either it holds something, which is read in one go, or it is empty (EAGAIN): clear in
        // both cases.
        self.with_ends(|ends| {
            let _ = rustix::io::read(&ends.read, &mut bytes);
        });
    }

    /// Closes the descriptor, once.
    pub fn close(&self) {
        if self.owner.is_current() && !self.was_taken_over.load(Ordering::Relaxed) {
            drop(self.ends.write().unwrap_or_else(PoisonError::into_inner).take());
            return;
        }
        // A thread of the parent's, which is not in this process, may have been in the middle of an
        // interruption. The descriptor then stays open until nobody holds this any more.
        if let Ok(mut ends) = self.ends.try_write() {
            drop(ends.take());
        }
    }

    fn with_ends(&self, act: impl FnOnce(&Ends)) {
        if !self.owner.is_current() {
            return;
        }
        // Nothing under the lock panics, so a poisoned one is still consistent.
        let ends = self.ends.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = &*ends {
            act(ends);
        }
    }
}

impl Interrupt for InterruptDescriptor {
    fn interrupt(&self) {
        self.with_ends(|ends| {
            #[cfg(target_os = "linux")]
            let (end, bytes) = (&ends.read, 1_u64.to_ne_bytes());
            #[cfg(not(target_os = "linux"))]
            let (end, bytes) = (&ends.write, [1_u8]);
            // A full eventfd or pipe (EAGAIN) interrupts as well as one more byte would.
            let _ = rustix::io::write(end, &bytes);
        });
    }
}
