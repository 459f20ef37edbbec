//! Bytes that wait to be written, as the chunks in which they came.
//!
//! Pure data: no descriptor, no system call. Chunks are neither copied nor joined; a write
//! gathers them into slices, and what the kernel took is reported by [`WriteQueue::advance`].
//!
//! 1. No chunk in the queue is empty, so an empty queue holds no bytes and the reverse.
//! 2. Only the head may be written in part; `written` bytes of it are gone.
//! 3. A chunk answers the same bytes each time it is asked.

use std::collections::{TryReserveError, VecDeque};
use std::io::IoSlice;

/// A queue of this capacity is kept once it has drained.
const KEPT_CAPACITY: usize = 64;

/// Chunks of bytes in the order in which they are to be written.
///
/// ```
/// use ouroloop::net::WriteQueue;
///
/// let mut queue = WriteQueue::new();
/// queue.push("hello ");
/// queue.push("world");
/// queue.advance(8);
/// assert_eq!(queue.iter().collect::<Vec<_>>(), [b"rld"]);
/// ```
#[derive(Debug)]
pub struct WriteQueue<B> {
    chunks: VecDeque<B>,
    written: usize,
    bytes: usize,
}

impl<B: AsRef<[u8]>> WriteQueue<B> {
    /// An empty queue, which owns no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { chunks: VecDeque::new(), written: 0, bytes: 0 }
    }

    /// Makes sure that there is room for one more chunk.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    #[inline]
    pub fn reserve(&mut self) -> Result<(), TryReserveError> {
        self.chunks.try_reserve(1)
    }

    /// Adds a chunk behind all others; an empty one is dropped.
    #[inline]
    pub fn push(&mut self, chunk: B) {
        let len = chunk.as_ref().len();
        if len > 0 {
            self.bytes += len;
            self.chunks.push_back(chunk);
        }
    }

    /// How many bytes wait.
    #[inline]
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How many chunks wait.
    #[inline]
    #[must_use]
    pub fn len_chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The chunk that was pushed last.
    #[inline]
    #[must_use]
    pub fn last(&self) -> Option<&B> {
        self.chunks.back()
    }

    /// What waits, chunk by chunk; of the head only the unwritten part.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut written = self.written;
        self.chunks.iter().map(move |chunk| &chunk.as_ref()[std::mem::take(&mut written)..])
    }

    /// Fills `slices` with what waits, from the head on; answers how many it filled.
    #[inline]
    pub fn gather<'queue>(&'queue self, slices: &mut [IoSlice<'queue>]) -> usize {
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(self.iter()) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    /// Forgets the first `n` bytes, dropping each chunk that they complete.
    ///
    /// # Panics
    /// When fewer than `n` bytes wait.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.bytes, "{n} bytes were written of {} that waited", self.bytes);
        self.bytes -= n;
        self.written += n;
        while let Some(head) = self.chunks.front() {
            let len = head.as_ref().len();
            if self.written < len {
                break;
            }
            self.written -= len;
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() && self.chunks.capacity() > KEPT_CAPACITY {
            self.chunks = VecDeque::new();
        }
    }

    /// Empties the queue and hands its chunks to the caller, who decides when they are dropped.
    pub fn take_all(&mut self) -> VecDeque<B> {
        (self.written, self.bytes) = (0, 0);
        std::mem::take(&mut self.chunks)
    }

    /// Empties the queue and drops its chunks.
    pub fn clear(&mut self) {
        drop(self.take_all());
    }
}

impl<B: AsRef<[u8]>> Default for WriteQueue<B> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gathers_no_more_than_there_is_room_for() {
        let mut queue = WriteQueue::new();
        for chunk in ["ab", "", "cd", "ef"] {
            queue.push(chunk);
        }
        queue.advance(1);
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(queue.gather(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"b"[..], &b"cd"[..]));
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(queue.gather(&mut slices), 3);
    }

    #[test]
    fn a_burst_is_given_back() {
        let mut queue = WriteQueue::new();
        (0..10_000).for_each(|_| queue.push([0_u8; 1]));
        queue.advance(10_000);
        assert!(queue.chunks.capacity() <= KEPT_CAPACITY);
    }

    #[test]
    #[should_panic(expected = "3 bytes were written of 2 that waited")]
    fn more_than_there_is_was_never_written() {
        let mut queue = WriteQueue::new();
        queue.push("ab");
        queue.advance(3);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        Advance(usize),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Push),
            6 => any::<usize>().prop_map(Step::Advance),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_one_vector(steps in proptest::collection::vec(step(), 0..100)) {
            let mut queue = WriteQueue::new();
            let mut model = Vec::new();
            for step in steps {
                match step {
                    Step::Push(chunk) => { model.extend(&chunk); queue.push(chunk); }
                    Step::Advance(pick) => {
                        let n = pick % (model.len() + 1);
                        model.drain(..n);
                        queue.advance(n);
                    }
                    Step::Clear => { model.clear(); queue.clear(); }
                }
                prop_assert_eq!(queue.len_bytes(), model.len());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                prop_assert_eq!(queue.iter().collect::<Vec<_>>().concat(), model.clone());
                prop_assert!(queue.iter().all(|chunk| !chunk.is_empty()));
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = queue.gather(&mut slices);
                let gathered: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                prop_assert!(model.starts_with(&gathered));
                prop_assert_eq!(filled, queue.len_chunks().min(3));
            }
        }
    }
}
