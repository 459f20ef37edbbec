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

/// From here on a number is that of a float: a program's own clock may count milliseconds, or years, and whoever
/// is earlier than another stays so.
const FAR: Nanos = 9_000_000_000 * NANOS_PER_SECOND;
const FAR_SECONDS: f64 = 9e9;

/// The time as floating-point seconds, as Python's `loop.time()` gives it.
#[inline]
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "seconds are a float by asyncio's contract")]
pub fn as_seconds(nanos: Nanos) -> f64 {
    if nanos < FAR {
        return nanos as f64 / 1e9;
    }
    let bits = (nanos - FAR).saturating_add(FAR_SECONDS.to_bits());
    f64::from_bits(bits.min(f64::INFINITY.to_bits()))
}

/// The first instant whose [`as_seconds`] is not before `seconds`.
///
/// Rounds up, so that a timer asked for `seconds` never finds `loop.time()` below it. Negative
/// and NaN times are in the past.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is the rounding that the documentation promises"
)]
pub fn from_seconds(seconds: f64) -> Nanos {
    if seconds >= FAR_SECONDS {
        return FAR + (seconds.to_bits() - FAR_SECONDS.to_bits());
    }
    let mut nanos = (seconds * 1e9).ceil() as Nanos;
    while as_seconds(nanos) < seconds {
        nanos += (nanos >> 53).max(1);
    }
    nanos
}

/// How long it is from `now` to `then`; nothing, if that is past.
#[inline]
#[must_use]
pub fn until(then: Nanos, now: Nanos) -> Nanos {
    if then < FAR {
        return then.saturating_sub(now);
    }
    from_seconds(as_seconds(then) - as_seconds(now))
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
    fn odd_times_are_the_past_or_far() {
        assert_eq!(from_seconds(-1.0), 0);
        assert_eq!(from_seconds(f64::NAN), 0);
        for far in [9e9, 1.8e12, 1e300, f64::INFINITY] {
            assert_eq!(as_seconds(from_seconds(far)).to_bits(), far.to_bits());
        }
        assert_eq!(as_seconds(Nanos::MAX).to_bits(), f64::INFINITY.to_bits());
    }

    #[test]
    fn it_is_as_long_until_a_far_time_as_its_seconds_say() {
        let (now, then) = (from_seconds(1.8e12), from_seconds(1.8e12 + 2.0));
        assert_eq!(until(then, now), 2 * NANOS_PER_SECOND);
        assert_eq!(until(now, then), 0);
        assert_eq!(until(from_seconds(3.0), from_seconds(1.0)), 2 * NANOS_PER_SECOND);
    }

    proptest! {
        #[test]
        fn a_deadline_is_never_before_its_seconds(seconds in 0.0..1e9_f64) {
            prop_assert!(as_seconds(from_seconds(seconds)) >= seconds);
        }

        #[test]
        fn what_is_earlier_stays_earlier(one in 0.0..1e13_f64, other in 0.0..1e13_f64) {
            prop_assert!((one < other) <= (from_seconds(one) <= from_seconds(other)));
            prop_assert!(as_seconds(from_seconds(one)) >= one);
        }

        #[test]
        fn a_deadline_is_late_by_rounding_only(seconds in 0.0..4e6_f64) {
            prop_assert!(as_seconds(from_seconds(seconds)) - seconds < 3e-9);
        }
    }
}
