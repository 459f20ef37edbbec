//! A table whose keys are handed out in sequence and never again, so that a stale key names
//! nothing.

use std::collections::hash_map::IntoValues;
use std::collections::{HashMap, TryReserveError};
use std::hash::{BuildHasherDefault, Hasher};

/// A table of up to this many entries is kept as it is.
const KEPT_CAPACITY: usize = 256;

/// Spreads sequence numbers, which are distinct already, by one multiplication.
#[derive(Debug, Default)]
struct SequenceHasher(u64);

impl Hasher for SequenceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, sequence: u64) {
        self.0 = (self.0 ^ sequence).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Values by sequence number; gives memory back once it has become much larger than its content.
#[derive(Debug)]
pub(crate) struct SequenceMap<T> {
    values: HashMap<u64, T, BuildHasherDefault<SequenceHasher>>,
    next: u64,
}

impl<T> SequenceMap<T> {
    pub(crate) fn new() -> Self {
        Self { values: HashMap::default(), next: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.values.capacity()
    }

    /// Makes sure that there is room for one more value.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    #[inline]
    pub(crate) fn reserve(&mut self) -> Result<(), TryReserveError> {
        if self.values.len() < self.values.capacity() {
            return Ok(());
        }
        self.values.try_reserve(1)
    }

    /// Adds a value under the next key, which is greater than all before.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> u64 {
        self.insert_with(|_| value)
    }

    /// Adds a value that knows its key.
    #[inline]
    pub(crate) fn insert_with(&mut self, value: impl FnOnce(u64) -> T) -> u64 {
        let key = self.next;
        self.next += 1;
        self.values.insert(key, value(key));
        key
    }

    #[inline]
    pub(crate) fn contains(&self, key: u64) -> bool {
        self.values.contains_key(&key)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.values.get_mut(&key)
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        let value = self.values.remove(&key)?;
        if self.values.capacity() > KEPT_CAPACITY && self.values.capacity() / 8 > self.len() {
            self.shrink_to((self.len() * 2).max(KEPT_CAPACITY / 2));
        }
        Some(value)
    }

    /// Moves the values into a smaller table, for which there may be no memory: then not.
    #[cold]
    fn shrink_to(&mut self, capacity: usize) {
        let mut smaller = HashMap::default();
        if smaller.try_reserve(capacity).is_ok() {
            smaller.extend(self.values.drain());
            self.values = smaller;
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.values.values()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.values_mut()
    }

    /// Empties the table; its keys stay used up.
    pub(crate) fn take_all(&mut self) -> IntoValues<u64, T> {
        std::mem::take(&mut self.values).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_handed_out_again() {
        let mut map = SequenceMap::new();
        let first = map.insert('a');
        assert_eq!(map.remove(first), Some('a'));
        let second = map.insert('b');
        assert_eq!(map.take_all().collect::<String>(), "b");
        let third = map.insert_with(|key| if key > second { 'c' } else { '?' });
        assert!(first < second && second < third);
        assert_eq!(map.remove(first), None);
        assert_eq!(map.get_mut(third), Some(&mut 'c'));
    }

    #[test]
    fn a_burst_is_given_back_although_one_value_stays() {
        let mut map = SequenceMap::new();
        let keys: Vec<_> = (0..100_000).map(|n| map.insert(n)).collect();
        for &key in &keys[..99_999] {
            assert!(map.remove(key).is_some());
        }
        assert!(map.contains(keys[99_999]));
        assert!(map.capacity() <= 8 * KEPT_CAPACITY);
    }
}
