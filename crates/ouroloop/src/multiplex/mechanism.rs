//! Which mechanisms this system has, and their names.

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

#[cfg(target_os = "linux")]
use super::epoll::Epoll;
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
))]
use super::kqueue::Kqueue;
use super::multiplexer::Multiplexer;
use super::poll::Poll;
use super::select::Select;

/// A mechanism of this system, by name.
///
/// ```
/// use ouroloop::multiplex::Mechanism;
///
/// assert_eq!("poll".parse(), Ok(Mechanism::Poll));
/// assert_eq!("auto".parse(), Ok(Mechanism::fastest()));
/// assert_eq!(Mechanism::Select.to_string(), "select");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// `epoll(7)`.
    #[cfg(target_os = "linux")]
    Epoll,
    /// `kqueue(2)`.
    #[cfg(any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    ))]
    Kqueue,
    /// `poll(2)`.
    Poll,
    /// `select(2)`.
    Select,
}

/// The name of [`Mechanism::fastest`], whichever that is.
const AUTO: &str = "auto";

impl Mechanism {
    /// What this system has, the fastest first.
    pub const ALL: &'static [Self] = &[
        #[cfg(target_os = "linux")]
        Self::Epoll,
        #[cfg(any(
            target_vendor = "apple",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd",
            target_os = "dragonfly"
        ))]
        Self::Kqueue,
        Self::Poll,
        Self::Select,
    ];

    /// The one that is fastest on this system.
    #[must_use]
    pub const fn fastest() -> Self {
        Self::ALL[0]
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll => "epoll",
            #[cfg(any(
                target_vendor = "apple",
                target_os = "freebsd",
                target_os = "netbsd",
                target_os = "openbsd",
                target_os = "dragonfly"
            ))]
            Self::Kqueue => "kqueue",
            Self::Poll => "poll",
            Self::Select => "select",
        }
    }

    /// A new multiplexer of this kind.
    ///
    /// # Errors
    /// The kernel's refusal to create it.
    pub fn create(self) -> io::Result<Arc<dyn Multiplexer>> {
        Ok(match self {
            #[cfg(target_os = "linux")]
            Self::Epoll => Arc::new(Epoll::new()?),
            #[cfg(any(
                target_vendor = "apple",
                target_os = "freebsd",
                target_os = "netbsd",
                target_os = "openbsd",
                target_os = "dragonfly"
            ))]
            Self::Kqueue => Arc::new(Kqueue::new()?),
            Self::Poll => Arc::new(Poll::new()),
            Self::Select => Arc::new(Select::new()),
        })
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        if name == AUTO {
            return Ok(Self::fastest());
        }
        let found = Self::ALL.iter().find(|mechanism| mechanism.name() == name);
        found.copied().ok_or_else(|| UnknownMechanism { name: name.to_owned() })
    }
}

/// A name that means nothing on this system; says which names do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMechanism {
    name: String,
}

impl fmt::Display for UnknownMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no multiplexer {:?} on this system, which has {AUTO}", self.name)?;
        Mechanism::ALL.iter().try_for_each(|mechanism| write!(f, ", {mechanism}"))
    }
}

impl Error for UnknownMechanism {}
