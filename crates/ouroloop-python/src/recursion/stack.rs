//! A look at how much of the thread's stack is left.
//!
//! Stacks grow downwards on every system that this is built for. Each thread remembers a *floor*: as
//! long as it stands above, it has room, which is a load and a comparison. Below, the bounds are
//! asked for, and either the floor is lowered by a [`STRIDE`] or the answer is no. The stride is for the
//! main thread, whose stack grows as it is used, down to a limit (`RLIMIT_STACK`) that the program
//! may move: what was reached once stays, the rest is asked for when it is needed.
//!
//! A place outside of the bounds is on a stack that somebody else switched to, of which nothing is
//! known, and so is every place where the system does not tell bounds. Then there is always room, and
//! the interpreter's count alone decides.
//!
//! There is room above the [margin](Bounds::lowest). What goes on between two looks must fit below:
//! our own frames, of 2 KiB at most, OpenSSL's, and above all Python code that never looks: a
//! finalizer, or an exception handler that formats a traceback, for which the interpreter parses
//! source again, and logs it (some 20 KiB). A small stack cannot spare as much and gives a
//! quarter: on one of 32 KiB the rest is enough for what programs do on it.

use std::cell::Cell;

/// What is kept free at the lower end of a stack that is large enough.
const MARGIN: usize = 64 * 1024;

/// And of the smallest. From 3.14 on the interpreter keeps 32 KiB free itself, and refuses below.
const SMALLEST_MARGIN: usize = if cfg!(Py_3_14) { 48 * 1024 } else { 4 * 1024 };

/// How far the floor is lowered at once.
const STRIDE: usize = 256 * 1024;

/// The kernel keeps this much free between a stack that grows and what is mapped below it.
const GUARD_GAP: usize = 1024 * 1024;

/// A stack at least this large is one that grows, and its limit may be what is mapped below it.
const HUGE: usize = 64 * 1024 * 1024;

/// Where a thread's stack begins and ends.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: usize,
    high: usize,
    /// The limit for stacks that grow when the bounds were asked for.
    limit: u64,
}

impl Bounds {
    /// The lowest place that has room.
    fn lowest(self) -> usize {
        let size = self.high - self.low;
        let gap = if size >= HUGE { GUARD_GAP } else { 0 };
        self.low + gap + (size / 4).clamp(SMALLEST_MARGIN, MARGIN)
    }
}

thread_local! {
    /// Above this place there is room; at first nothing is known.
    static FLOOR: Cell<usize> = const { Cell::new(usize::MAX) };
    static BOUNDS: Cell<Option<Bounds>> = const { Cell::new(None) };
}

/// Whether the thread's stack has room for another level.
#[inline]
pub(crate) fn has_room() -> bool {
    let marker = 0_u8;
    let here = (&raw const marker).addr();
    here > FLOOR.get() || has_room_below_floor(here)
}

#[cold]
fn has_room_below_floor(here: usize) -> bool {
    let limit = system::growth_limit();
    let known = BOUNDS.get().filter(|bounds| bounds.limit == limit);
    let Some(bounds) = known.or_else(|| system::bounds(limit)) else {
        FLOOR.set(0);
        return true;
    };
    BOUNDS.set(Some(bounds));
    if !(bounds.low..bounds.high).contains(&here) {
        return true;
    }
    let lowest = bounds.lowest();
    if here <= lowest {
        return false;
    }
    FLOOR.set(lowest.max(here.saturating_sub(STRIDE)));
    true
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod system {
    use std::mem::MaybeUninit;
    use std::ptr;

    use super::Bounds;

    /// The limit for the main thread's stack, which bounds may depend on.
    pub(super) fn growth_limit() -> u64 {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: there is room for the answer.
        unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) };
        #[cfg_attr(
            target_os = "linux",
            expect(clippy::useless_conversion, reason = "BSD's is signed")
        )]
        u64::try_from(limit.rlim_cur).unwrap_or(u64::MAX)
    }

    #[cfg(target_os = "freebsd")]
    use libc::pthread_attr_get_np as attributes_of;
    #[cfg(target_os = "linux")]
    use libc::pthread_getattr_np as attributes_of;

    /// The calling thread's; none where the system does not tell, as without `/proc`.
    pub(super) fn bounds(limit: u64) -> Option<Bounds> {
        let mut attributes = MaybeUninit::uninit();
        let (mut low, mut size, mut guard) = (ptr::null_mut(), 0, 0);
        // SAFETY: the attributes are initialised before they are read and destroyed once; there is
        // room for every answer.
        unsafe {
            #[cfg(target_os = "freebsd")]
            libc::pthread_attr_init(attributes.as_mut_ptr());
            if attributes_of(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
                return None;
            }
            let mut attributes = attributes.assume_init();
            let told =
                libc::pthread_attr_getstack(&raw const attributes, &raw mut low, &raw mut size)
                    == 0
                    && libc::pthread_attr_getguardsize(&raw const attributes, &raw mut guard) == 0;
            libc::pthread_attr_destroy(&raw mut attributes);
            if !told {
                return None;
            }
        }
        let low = low.addr();
        let high = low.checked_add(size)?;
        // Whether the guard counts as a part of the stack depends on the version of the library.
        let low = low.saturating_add(guard).min(high);
        // musl tells of the main thread's stack what is mapped so far.
        #[cfg(target_env = "musl")]
        let low = if rustix::process::getpid() == rustix::thread::gettid() {
            low.min(high.saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX)))
        } else {
            low
        };
        Some(Bounds { low, high, limit })
    }
}

#[cfg(target_vendor = "apple")]
mod system {
    use super::Bounds;

    /// The main thread's stack has its size from the start.
    pub(super) fn growth_limit() -> u64 {
        0
    }

    /// The calling thread's.
    pub(super) fn bounds(limit: u64) -> Option<Bounds> {
        // SAFETY: both calls only read what the thread was made with.
        let (high, size) = unsafe {
            let thread = libc::pthread_self();
            (libc::pthread_get_stackaddr_np(thread).addr(), libc::pthread_get_stacksize_np(thread))
        };
        Some(Bounds { low: high.checked_sub(size)?, high, limit })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple")))]
mod system {
    use super::Bounds;

    pub(super) fn growth_limit() -> u64 {
        0
    }

    /// Not known here.
    pub(super) fn bounds(_: u64) -> Option<Bounds> {
        None
    }
}
