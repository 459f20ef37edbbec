//! The queue of callbacks that are ready to run, first in, first out.
//!
//! Whoever can do without its callback asks for room first ([`ReadyQueue::reserve`]) and is refused
//! when there is no memory. That leaves [`SPARE`] places for those that cannot.

use std::collections::{TryReserveError, VecDeque};

/// Callbacks in the order in which they became ready.
///
/// A burst grows the queue; once a burst is over, [`ReadyQueue::shrink`] gives its memory back.
#[derive(Debug)]
pub struct ReadyQueue<C> {
    entries: VecDeque<C>,
    /// How many callbacks have left at the front.
    gone: u64,
}

/// Names a callback in the queue; stale once it has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

/// So many places are left to callbacks for which nobody has asked for room.
pub const SPARE: usize = 64;

/// A queue of this capacity is kept however idle the loop is.
const KEPT_CAPACITY: usize = 1024;

impl<C> ReadyQueue<C> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: VecDeque::new(), gone: 0 }
    }

    /// The place of the next callback to be pushed.
    #[inline]
    #[must_use]
    pub fn next_place(&self) -> Place {
        Place(self.gone + self.entries.len() as u64)
    }

    /// Makes sure that there is room for `count` more callbacks, and for [`SPARE`] behind them.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    #[inline]
    pub fn reserve(&mut self, count: usize) -> Result<(), TryReserveError> {
        let wanted = count.saturating_add(SPARE);
        if self.entries.capacity() - self.entries.len() >= wanted {
            return Ok(());
        }
        self.grow(wanted)
    }

    /// Whether there is room for `more` callbacks, or can be made.
    #[inline]
    pub(crate) fn has_room(&mut self, more: usize) -> bool {
        self.entries.capacity() - self.entries.len() >= more || self.grow(more).is_ok()
    }

    #[cold]
    fn grow(&mut self, more: usize) -> Result<(), TryReserveError> {
        // Twice the memory may not be there where a little more is.
        self.entries.try_reserve(more).or_else(|_| self.entries.try_reserve_exact(more))
    }

    /// Adds a callback behind all others.
    #[inline]
    pub fn push(&mut self, callback: C) -> Place {
        let place = self.next_place();
        self.entries.push_back(callback);
        place
    }

    /// The callback at a place; `None` when the place is stale.
    #[inline]
    pub fn get_mut(&mut self, place: Place) -> Option<&mut C> {
        let index = usize::try_from(place.0.checked_sub(self.gone)?).ok()?;
        self.entries.get_mut(index)
    }

    /// Takes the callback that has waited longest.
    #[inline]
    pub fn pop(&mut self) -> Option<C> {
        let callback = self.entries.pop_front()?;
        self.gone += 1;
        Some(callback)
    }

    /// The callback that has waited longest.
    #[inline]
    pub fn front_mut(&mut self) -> Option<&mut C> {
        self.entries.front_mut()
    }

    /// How many callbacks wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no callback waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The waiting callbacks in order.
    pub fn iter(&self) -> impl Iterator<Item = &C> {
        self.entries.iter()
    }

    /// The waiting callbacks in order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut C> {
        self.entries.iter_mut()
    }

    /// Gives back the memory of a burst that is over.
    pub fn shrink(&mut self) {
        if self.entries.capacity() > KEPT_CAPACITY && self.entries.len() < KEPT_CAPACITY / 4 {
            self.entries.shrink_to(KEPT_CAPACITY / 2);
        }
    }

    /// Empties the queue, handing its callbacks to the caller, who decides when they are dropped.
    #[must_use]
    pub fn take_all(&mut self) -> VecDeque<C> {
        self.gone += self.entries.len() as u64;
        std::mem::take(&mut self.entries)
    }
}

impl<C> Default for ReadyQueue<C> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_is_given_back() {
        let mut queue = ReadyQueue::new();
        for n in 0..1_000_000_u64 {
            queue.push(n);
        }
        while queue.pop().is_some() {}
        queue.shrink();
        assert!(queue.entries.capacity() <= KEPT_CAPACITY);
    }

    proptest! {
        #[test]
        fn behaves_like_a_plain_list(steps in proptest::collection::vec(proptest::option::of(0..9_u8), 0..200)) {
            let mut queue = ReadyQueue::new();
            let mut model = Vec::new();
            let mut places = Vec::new();
            for step in steps {
                if let Some(value) = step {
                    let place = queue.push(value);
                    places.push(place);
                    model.push(value);
                } else {
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(queue.pop(), expected);
                }
                let stale = places.len() - model.len();
                for (number, place) in places.iter().enumerate() {
                    let expected = number.checked_sub(stale).map(|index| model[index]);
                    prop_assert_eq!(queue.get_mut(*place).copied(), expected);
                }
                queue.shrink();
                prop_assert_eq!(queue.len(), model.len());
                prop_assert!(queue.iter().eq(model.iter()));
            }
        }
    }
}
