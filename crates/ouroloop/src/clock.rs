//! Monotonic time in whole nanoseconds.
//!
//! The loop keeps time as `u64` nanoseconds of `CLOCK_MONOTONIC` (the clock of Python's
//! `time.monotonic`): integers compare exactly, so "never early" is a plain `>=`.

use std::cell::Cell;
use std::rc::Rc;

/// Nanoseconds since the clock's own epoch.
pub type Nanos = u64;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Where a loop reads the time from.
pub trait Clock {
    /// The present time; never less than an earlier answer.
    fn now(&self) -> Nanos;
}

/// `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    #[inline]
    fn now(&self) -> Nanos {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // The C library's function rather than rustix's: that one looks for the kernel's own code
        // in a way that crashes under valgrind.
        // SAFETY: `time` is a place for the answer; this clock exists everywhere, so it is given.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        // The monotonic clock counts up from boot: both fields are non-negative.
        time.tv_sec.cast_unsigned() * NANOS_PER_SECOND + time.tv_nsec.cast_unsigned()
    }
}

/// A clock that only moves when told to, for tests that decide time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    now: Rc<Cell<Nanos>>,
}

impl ManualClock {
    /// Moves the time forward.
    pub fn advance(&self, by: Nanos) {
        self.now.set(self.now.get() + by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        self.now.get()
    }
}

/// The time as floating-point seconds, as Python's `loop.time()` gives it.
#[inline]
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "seconds are a float by asyncio's contract")]
pub fn as_seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

/// The first instant whose [`as_seconds`] is not before `seconds`.
///
/// Rounds up, so that a timer asked for `seconds` never finds `loop.time()` below it. Negative
/// and NaN times are in the past; a time beyond the clock's range is its end.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is the rounding that the documentation promises"
)]
pub fn from_seconds(seconds: f64) -> Nanos {
    let mut nanos = (seconds * 1e9).ceil() as Nanos;
    while as_seconds(nanos) < seconds && nanos != Nanos::MAX {
        nanos = nanos.saturating_add((nanos >> 53).max(1));
    }
    nanos
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn monotonic_time_does_not_go_back() {
        let first = MonotonicClock.now();
        assert!(MonotonicClock.now() >= first);
    }

    #[test]
    fn odd_times_are_the_past_or_the_end() {
        assert_eq!(from_seconds(-1.0), 0);
        assert_eq!(from_seconds(f64::NAN), 0);
        assert_eq!(from_seconds(f64::INFINITY), Nanos::MAX);
        assert_eq!(from_seconds(1e300), Nanos::MAX);
    }

    proptest! {
        #[test]
        fn a_deadline_is_never_before_its_seconds(seconds in 0.0..1e9_f64) {
            prop_assert!(as_seconds(from_seconds(seconds)) >= seconds);
        }

        #[test]
        fn a_deadline_is_late_by_rounding_only(seconds in 0.0..4e6_f64) {
            prop_assert!(as_seconds(from_seconds(seconds)) - seconds < 3e-9);
        }
    }
}
