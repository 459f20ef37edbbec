//! Deadlines in order, with cancellation in constant time and memory given back.
//!
//! A pending timer is a heap entry (deadline and sequence number) and a map entry (sequence number
//! and callback).
//!
//! 1. Cancelling removes the map entry at once and hands the callback to the caller; the heap
//!    entry stays behind as *dead*.
//! 2. When dead entries outnumber live ones, the heap is rebuilt without them. Each rebuild is
//!    paid for by the cancellations before it, so a cancellation costs O(1) amortised.
//! 3. Whenever either table has become much larger than its content, it shrinks.
//! 4. Timers with equal deadlines fire in the order in which they were scheduled.

use std::cmp::Reverse;
use std::collections::hash_map::IntoValues;
use std::collections::{BinaryHeap, TryReserveError};

use crate::clock::Nanos;
use crate::memory::WORTH_RETURNING;
use crate::sequence::SequenceMap;

/// Names a scheduled timer; stale once the timer has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(u64);

/// Callbacks ordered by deadline.
#[derive(Debug)]
pub struct Timers<C> {
    heap: BinaryHeap<Reverse<(Nanos, u64)>>,
    pending: SequenceMap<C>,
    left_much: bool,
}

/// A heap of up to this many entries is kept as it is.
const KEPT_CAPACITY: usize = 256;

impl<C> Timers<C> {
    /// No timers.
    #[must_use]
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), pending: SequenceMap::new(), left_much: false }
    }

    /// How many timers are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no timer is pending.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Makes sure that there is room for one more timer.
    ///
    /// # Errors
    /// There is no memory; no timer has changed.
    #[inline]
    pub fn reserve(&mut self) -> Result<(), TryReserveError> {
        if self.heap.len() == self.heap.capacity() {
            self.heap.try_reserve(1)?;
        }
        self.pending.reserve()
    }

    /// Adds a timer that is due from `deadline` on.
    pub fn schedule(&mut self, deadline: Nanos, callback: C) -> TimerId {
        let sequence = self.pending.insert(callback);
        self.heap.push(Reverse((deadline, sequence)));
        TimerId(sequence)
    }

    /// Removes a pending timer and hands its callback back; `None` when the id is stale.
    pub fn cancel(&mut self, id: TimerId) -> Option<C> {
        let callback = self.pending.remove(id.0)?;
        self.drop_dead_entries();
        Some(callback)
    }

    /// The callback of a pending timer; `None` when the id is stale.
    #[inline]
    pub fn get_mut(&mut self, id: TimerId) -> Option<&mut C> {
        self.pending.get_mut(id.0)
    }

    /// The earliest deadline.
    pub fn next_deadline(&mut self) -> Option<Nanos> {
        while let Some(Reverse((deadline, sequence))) = self.heap.peek() {
            if self.pending.contains(*sequence) {
                return Some(*deadline);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the earliest timer if it is due at `now`: its deadline and its callback.
    pub fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, C)> {
        while let Some(&Reverse((deadline, sequence))) = self.heap.peek() {
            if deadline > now && self.pending.contains(sequence) {
                return None;
            }
            self.heap.pop();
            if let Some(callback) = self.pending.remove(sequence) {
                self.shrink();
                return Some((deadline, callback));
            }
        }
        None
    }

    /// Whether so much memory was let go since the last call that the allocator should return it.
    pub(crate) fn take_left_much(&mut self) -> bool {
        std::mem::take(&mut self.left_much)
    }

    /// The pending callbacks in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &C> {
        self.pending.values()
    }

    /// The pending callbacks in no particular order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut C> {
        self.pending.values_mut()
    }

    /// Cancels every timer, handing the callbacks to the caller.
    pub fn take_all(&mut self) -> IntoValues<u64, C> {
        self.heap = BinaryHeap::new();
        self.pending.take_all()
    }

    fn drop_dead_entries(&mut self) {
        if self.heap.len() > KEPT_CAPACITY && self.heap.len() > self.pending.len() * 2 {
            let pending = &self.pending;
            self.heap.retain(|&Reverse((_, sequence))| pending.contains(sequence));
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let before = self.heap.capacity();
        if before > KEPT_CAPACITY && before / 8 > self.heap.len() {
            self.heap.shrink_to((self.heap.len() * 2).max(KEPT_CAPACITY));
            // The map beside the heap has shrunk, or is about to, by as many entries.
            let gone = before.saturating_sub(self.heap.capacity());
            if gone * (size_of::<(Nanos, u64)>() + size_of::<(u64, C)>()) >= WORTH_RETURNING {
                self.left_much = true;
            }
        }
    }
}

impl<C> Default for Timers<C> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_million_cancelled_timers_keep_no_memory_slow() {
        let mut timers = Timers::new();
        timers.schedule(u64::MAX, 0_u64);
        let ids: Vec<_> = (0..1_000_000_u64).map(|n| timers.schedule(n + 1, n)).collect();
        timers.schedule(u64::MAX, 0);
        for id in ids {
            assert!(timers.cancel(id).is_some());
            assert!(timers.cancel(id).is_none());
        }
        assert_eq!(timers.len(), 2);
        assert!(timers.heap.capacity() <= 8 * KEPT_CAPACITY);
        assert!(timers.pending.capacity() <= 8 * KEPT_CAPACITY);
    }

    #[test]
    fn equal_deadlines_fire_in_order_of_scheduling() {
        let mut timers = Timers::new();
        for n in 0..100 {
            timers.schedule(7, n);
        }
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(7)).map(|(_, n)| n).collect();
        assert_eq!(fired, (0..100).collect::<Vec<_>>());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Schedule(u64),
        Cancel(usize),
        Fire(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..50_u64).prop_map(Step::Schedule),
            any::<usize>().prop_map(Step::Cancel),
            (0..50_u64).prop_map(Step::Fire),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_list(steps in proptest::collection::vec(step(), 0..400)) {
            let mut timers = Timers::new();
            let mut ids = Vec::new();
            let mut model: Vec<(u64, usize)> = Vec::new();
            for step in steps {
                match step {
                    Step::Schedule(deadline) => {
                        let number = ids.len();
                        ids.push(timers.schedule(deadline, number));
                        let place = model.partition_point(|&entry| entry <= (deadline, number));
                        model.insert(place, (deadline, number));
                    }
                    Step::Cancel(pick) if !ids.is_empty() => {
                        let number = pick % ids.len();
                        let place = model.iter().position(|&(_, other)| other == number);
                        let expected = place.map(|place| model.remove(place).1);
                        prop_assert_eq!(timers.cancel(ids[number]), expected);
                    }
                    Step::Cancel(_) => {}
                    Step::Fire(now) => {
                        let due = model.partition_point(|&(deadline, _)| deadline <= now);
                        let expected: Vec<_> = model.drain(..due).collect();
                        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(now)).collect();
                        prop_assert_eq!(fired, expected);
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.next_deadline(), model.first().map(|&(deadline, _)| deadline));
            }
        }
    }
}
