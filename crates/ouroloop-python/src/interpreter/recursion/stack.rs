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

use super::system;

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
    let asked = || system::stack(limit).map(|(low, high)| Bounds { low, high, limit });
    let Some(bounds) = known.or_else(asked) else {
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
