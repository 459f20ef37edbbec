//! Waiting for many descriptors at once: one mechanism a file, one trait.
//!
//! Interest is level-triggered: as long as a descriptor stays readable, every wait says so, unless
//! the interest is for one time only, or allows for more silence than that ([`Interest::edge`]). How a mechanism learns of readiness is its own affair: one
//! that is told of completions by its kernel keeps the trait by completing requests to poll.

#[cfg(target_os = "linux")]
mod epoll;
#[cfg(any(
    test,
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
))]
mod kqueue;
mod mechanism;
mod multiplexer;
mod poll;
mod select;

#[cfg(target_os = "linux")]
pub use epoll::Epoll;
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
))]
pub use kqueue::Kqueue;
pub use mechanism::{Mechanism, UnknownMechanism};
pub use multiplexer::{Event, Events, Interest, Multiplexer, Timeout};
pub use poll::Poll;
pub use select::{FD_SETSIZE, OutOfRange, Select};
