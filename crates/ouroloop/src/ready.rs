//! The queue of callbacks that are ready to run, first in, first out.

use std::collections::VecDeque;

/// Callbacks in the order in which they became ready.
///
/// A burst grows the queue; once a burst is over, [`ReadyQueue::shrink`] gives its memory back.
#[derive(Debug)]
pub struct ReadyQueue<C> {
    entries: VecDeque<C>,
}

/// A queue of this capacity is kept however idle the loop is.
const KEPT_CAPACITY: usize = 1024;

impl<C> ReadyQueue<C> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: VecDeque::with_capacity(64) }
    }

    /// Adds a callback behind all others.
    #[inline]
    pub fn push(&mut self, callback: C) {
        self.entries.push_back(callback);
    }

    /// Takes the callback that has waited longest.
    #[inline]
    pub fn pop(&mut self) -> Option<C> {
        self.entries.pop_front()
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

    /// Gives back the memory of a burst that is over.
    pub fn shrink(&mut self) {
        if self.entries.capacity() > KEPT_CAPACITY && self.entries.len() < KEPT_CAPACITY / 4 {
            self.entries.shrink_to(KEPT_CAPACITY / 2);
        }
    }

    /// Empties the queue, handing its callbacks to the caller, who decides when they are dropped.
    #[must_use]
    pub fn take_all(&mut self) -> VecDeque<C> {
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
        (0..1_000_000_u64).for_each(|n| queue.push(n));
        while queue.pop().is_some() {}
        queue.shrink();
        assert!(queue.entries.capacity() <= KEPT_CAPACITY);
    }

    proptest! {
        #[test]
        fn behaves_like_a_plain_list(steps in proptest::collection::vec(proptest::option::of(0..9_u8), 0..200)) {
            let mut queue = ReadyQueue::new();
            let mut model = Vec::new();
            for step in steps {
                if let Some(value) = step {
                    queue.push(value);
                    model.push(value);
                } else {
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(queue.pop(), expected);
                }
                queue.shrink();
                prop_assert_eq!(queue.len(), model.len());
                prop_assert!(queue.iter().eq(model.iter()));
            }
        }
    }
}
