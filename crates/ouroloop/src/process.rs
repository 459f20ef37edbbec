//! Children of this process: when one has ended, and how.
//!
//! Spawning is left to whoever knows what has to happen between fork and exec. A child that was
//! spawned is in one of three states, and only the kernel moves it from the first to the second:
//!
//! | state | its number | left by |
//! | --- | --- | --- |
//! | running | its own | its end |
//! | ended | still its own: a zombie | [`reap`], by whomever: this module, the program, another library |
//! | reaped | free to be given to another process | – |
//!
//! A number may therefore be signalled by its owner alone, and only as long as nobody has reaped
//! it: [`Exit`] and [`wait_without_reaping`] find out about the end without changing it, and the
//! loop's thread reaps and says so in one step.

use std::io;

use rustix::io::Errno;
pub use rustix::process::Pid;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions};

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reaped {
    /// It has not ended.
    Running,
    /// It ended by itself, with this status.
    Exited(i32),
    /// A signal of this number ended it.
    Killed(i32),
    /// It is no child of this process: somebody else has reaped it.
    Gone,
}

/// Reaps a child if it has ended.
pub fn reap(pid: Pid) -> Reaped {
    match rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), WaitOptions::NOHANG)) {
        Ok(None) => Reaped::Running,
        Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => Reaped::Exited(status),
            (_, Some(signal)) => Reaped::Killed(signal),
            // Stopped under a debugger.
            (None, None) => Reaped::Running,
        },
        Err(_) => Reaped::Gone,
    }
}

/// Blocks until a child has ended, and leaves it to be reaped; returns at once if it is gone.
pub fn wait_without_reaping(pid: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
}

/// A descriptor that becomes readable when a child ends.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Exit {
    pid: Pid,
    descriptor: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Exit {
    /// The end of the child `pid`, which has not been reaped.
    ///
    /// # Errors
    /// The kernel's: it may be too old, a sandbox may forbid it, descriptors may have run out.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let flags = rustix::process::PidfdFlags::empty();
        Ok(Self { pid, descriptor: rustix::process::pidfd_open(pid, flags)? })
    }

    /// The descriptor, to be watched.
    #[must_use]
    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.descriptor)
    }

    /// Reaps the child if it has ended.
    pub fn reap(&self) -> Reaped {
        reap(self.pid)
    }
}

/// On other systems a thread waits.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub enum Exit {}

#[cfg(not(target_os = "linux"))]
impl Exit {
    /// # Errors
    /// Always.
    pub fn of(_: Pid) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The descriptor, to be watched.
    #[must_use]
    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match *self {}
    }

    /// Reaps the child if it has ended.
    pub fn reap(&self) -> Reaped {
        match *self {}
    }
}
