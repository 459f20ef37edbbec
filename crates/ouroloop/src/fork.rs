//! What a fork leaves of a loop: copies of its memory, and a share in the parent's kernel objects.
//!
//! A forked child has the parent's descriptors under the same numbers, but the epoll instance, the
//! eventfd and the sockets behind them are one for both processes: a change that the child makes
//! is a change to the parent's loop. So:
//!
//! 1. What has such an object behind it remembers the [`Process`] that made it.
//! 2. In any other process it does nothing to the object but close the child's descriptor, which
//!    the parent does not notice.
//! 3. Whoever drives a loop asks [`EventLoop::is_inherited`](crate::EventLoop::is_inherited)
//!    before each callback, and runs none of a loop that is: the child may have been forked by the
//!    callback before.
//!
//! A loop that did not run when its process forked can be taken over by the child
//! ([`EventLoop::take_over`](crate::EventLoop::take_over)): it gets kernel objects of the child's own,
//! and watches by them what it watched in the parent.
//!
//! The child counts the fork itself (`pthread_atfork`), so that asking costs a load and no system
//! call. A child made by bare `clone` or `_Fork` is not noticed; such a child may do little more
//! than execute another program anyway.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many forks lie between this process and the first of its ancestors that counted.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A process, as far as it and its descendants can tell themselves apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    forks: u64,
}

impl Process {
    /// The process that asks; its children are told apart from it from now on.
    ///
    /// # Errors
    /// `ENOMEM` if the system has no room to remember that forks are to be counted.
    pub fn current() -> io::Result<Self> {
        static REFUSAL: OnceLock<c_int> = OnceLock::new();
        let refusal = *REFUSAL.get_or_init(|| {
            // SAFETY: the handler only adds to an atomic, which is safe after a fork of a process
            // with threads; it is part of this program or of an extension that stays loaded.
            unsafe { libc::pthread_atfork(None, None, Some(count)) }
        });
        match refusal {
            0 => Ok(Self { forks: FORKS.load(Ordering::Relaxed) }),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// Whether this is the process that asks; if not, that one was forked from it.
    #[inline]
    #[must_use]
    pub fn is_current(self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.forks
    }
}

/// The process to which something belongs: the one that made it, until a child takes its copy over.
#[derive(Debug)]
pub struct Owner {
    forks: AtomicU64,
}

impl Owner {
    /// The process that asks.
    ///
    /// # Errors
    /// Those of [`Process::current`].
    pub fn current() -> io::Result<Self> {
        Ok(Self { forks: AtomicU64::new(Process::current()?.forks) })
    }

    /// Whether it is the process that asks.
    #[inline]
    #[must_use]
    pub fn is_current(&self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.forks.load(Ordering::Relaxed)
    }

    /// It belongs to the process that asks from now on.
    pub fn take_over(&self) {
        self.forks.store(FORKS.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Clone for Owner {
    fn clone(&self) -> Self {
        Self { forks: AtomicU64::new(self.forks.load(Ordering::Relaxed)) }
    }
}

/// Has a forked child's number of `old` lead to what is behind `new` instead, which the parent has no share in.
///
/// # Errors
/// The kernel's; `EBADF` as well if the program has closed `old` and the number is another file's.
pub fn exchange(old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> io::Result<()> {
    let [before, after] = [rustix::fs::fstat(old)?, rustix::fs::fstat(new)?];
    if (before.st_mode ^ after.st_mode) & libc::S_IFMT != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: both are open. The number stays its owner's, which closes it once.
    if unsafe { libc::dup2(new.as_raw_fd(), old.as_raw_fd()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    rustix::io::fcntl_setfd(old, rustix::io::FdFlags::CLOEXEC)?;
    Ok(())
}

extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Why a mechanism refuses to watch or to wait.
pub(crate) fn refusal() -> io::Error {
    io::Error::other("the loop belongs to the process that this one was forked from")
}
