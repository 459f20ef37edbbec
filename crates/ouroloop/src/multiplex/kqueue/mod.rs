//! `kqueue(2)`: macOS and the BSDs.
//!
//! What is to be changed for a new interest is decided in `changes`, which knows no kernel and is
//! tested on every system; `queue` carries it out.

mod changes;
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
))]
mod queue;

#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
))]
pub use queue::Kqueue;
