//! When a writer should pause, by asyncio's rules.
//!
//! The marks hold no queue; whoever does reports its size after every change:
//!
//! 1. After growth, a size *above* `high` pauses, once.
//! 2. After shrinking, a size *at or below* `low` resumes, once.
//! 3. Between the marks nothing changes, which is what keeps a writer from flapping.

use std::fmt;

const DEFAULT_HIGH: usize = 64 * 1024;

/// What a change of size means for the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pressure {
    /// Nothing new.
    Unchanged,
    /// Too much waits: the writer should pause.
    Pause,
    /// Little enough waits: the paused writer may go on.
    Resume,
}

/// Limits that are not `high >= low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimits {
    /// The high mark asked for or derived.
    pub high: usize,
    /// The low mark asked for or derived.
    pub low: usize,
}

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "high ({}) must be >= low ({}) must be >= 0", self.high, self.low)
    }
}

impl std::error::Error for InvalidLimits {}

/// The high and low mark of one write queue, and whether its writer was told to pause.
///
/// ```
/// use ouroloop::net::{Pressure, Watermarks};
///
/// let mut marks = Watermarks::new();
/// assert_eq!(marks.grown_to(100_000), Pressure::Pause);
/// assert_eq!(marks.shrunk_to(20_000), Pressure::Unchanged);
/// assert_eq!(marks.shrunk_to(16_384), Pressure::Resume);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Watermarks {
    high: usize,
    low: usize,
    paused: bool,
}

impl Watermarks {
    /// asyncio's defaults: 64 KiB and a quarter of that.
    #[must_use]
    pub const fn new() -> Self {
        Self { high: DEFAULT_HIGH, low: DEFAULT_HIGH / 4, paused: false }
    }

    /// Moves the marks. What is not given is derived: `high` as four times `low` (64 KiB when
    /// neither is given), `low` as a quarter of `high`.
    ///
    /// The size is then to be reported by [`Watermarks::grown_to`], for it may be above the new
    /// mark.
    ///
    /// # Errors
    /// [`InvalidLimits`] unless `high >= low`; then the marks stay as they were.
    pub fn set(&mut self, high: Option<usize>, low: Option<usize>) -> Result<(), InvalidLimits> {
        let high = high.unwrap_or_else(|| low.map_or(DEFAULT_HIGH, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        if high < low {
            return Err(InvalidLimits { high, low });
        }
        (self.high, self.low) = (high, low);
        Ok(())
    }

    /// Above this size a writer pauses.
    #[must_use]
    pub const fn high(&self) -> usize {
        self.high
    }

    /// At or below this size a paused writer resumes.
    #[must_use]
    pub const fn low(&self) -> usize {
        self.low
    }

    /// Whether the writer was told to pause and not yet to resume.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// The size has grown, or the marks have moved.
    #[inline]
    pub fn grown_to(&mut self, size: usize) -> Pressure {
        if self.paused || size <= self.high {
            return Pressure::Unchanged;
        }
        self.paused = true;
        Pressure::Pause
    }

    /// The size has shrunk.
    #[inline]
    pub fn shrunk_to(&mut self, size: usize) -> Pressure {
        if !self.paused || size > self.low {
            return Pressure::Unchanged;
        }
        self.paused = false;
        Pressure::Resume
    }
}

impl Default for Watermarks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(high: Option<usize>, low: Option<usize>) -> Result<(usize, usize), InvalidLimits> {
        let mut marks = Watermarks::new();
        marks.set(high, low).map(|()| (marks.high(), marks.low()))
    }

    #[test]
    fn what_is_not_given_is_derived() {
        assert_eq!(limits(None, None), Ok((65_536, 16_384)));
        assert_eq!(limits(Some(100), None), Ok((100, 25)));
        assert_eq!(limits(None, Some(100)), Ok((400, 100)));
        assert_eq!(limits(Some(0), None), Ok((0, 0)));
        assert_eq!(limits(None, Some(usize::MAX)), Ok((usize::MAX, usize::MAX)));
    }

    #[test]
    fn refused_limits_change_nothing() {
        let mut marks = Watermarks::new();
        let refused = marks.set(Some(10), Some(11));
        assert_eq!(refused, Err(InvalidLimits { high: 10, low: 11 }));
        assert_eq!((marks.high(), marks.low()), (65_536, 16_384));
        assert_eq!(
            InvalidLimits { high: 10, low: 11 }.to_string(),
            "high (10) must be >= low (11) must be >= 0",
        );
    }

    #[test]
    fn a_mark_is_not_yet_above_itself() {
        let mut marks = Watermarks::new();
        assert_eq!(marks.grown_to(marks.high()), Pressure::Unchanged);
        assert_eq!(marks.grown_to(marks.high() + 1), Pressure::Pause);
        assert_eq!(marks.grown_to(marks.high() + 2), Pressure::Unchanged);
        assert_eq!(marks.shrunk_to(marks.low() + 1), Pressure::Unchanged);
        assert!(marks.is_paused());
        assert_eq!(marks.shrunk_to(marks.low()), Pressure::Resume);
        assert_eq!(marks.shrunk_to(0), Pressure::Unchanged);
    }

    #[test]
    fn a_zero_high_mark_pauses_on_the_first_byte() {
        let mut marks = Watermarks::new();
        assert_eq!(marks.set(Some(0), None), Ok(()));
        assert_eq!(marks.grown_to(0), Pressure::Unchanged);
        assert_eq!(marks.grown_to(1), Pressure::Pause);
        assert_eq!(marks.shrunk_to(0), Pressure::Resume);
    }
}
