//! What a loop calls, as the loop knows it.

use std::io;

use crate::clock::Nanos;
use crate::ready::Place;

/// What the loop keeps for a watched descriptor and puts into the ready queue each time it is
/// ready.
pub trait Callback: Sized {
    /// One more entry for the same work.
    #[must_use]
    fn again(&self) -> Self;

    /// It was scheduled for `deadline`, is due, and is about to stand in the ready queue at `place`.
    fn due(&mut self, place: Place, deadline: Nanos) {
        let _ = (place, deadline);
    }

    /// It is about to leave the ready queue or the timers, where somebody else may have known it by
    /// its place. Of a loop that is emptied or dropped, every callback is told before the first one goes.
    fn leave(&mut self) {}
}

/// Why a descriptor is not watched, with the callback that it was to be watched for.
///
/// Whoever asked decides when the callback is dropped, which may run code that uses the loop.
#[derive(Debug)]
pub struct Refused<C> {
    /// The reason.
    pub error: io::Error,
    /// What was to be called.
    pub callback: C,
}

impl<C> From<Refused<C>> for io::Error {
    fn from(refused: Refused<C>) -> Self {
        refused.error
    }
}

/// The callback that a watch replaces.
pub type Watched<C> = Result<Option<C>, Refused<C>>;
