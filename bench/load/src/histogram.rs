//! Latencies, counted in buckets whose width grows with the value.
//!
//! A value's bucket is its highest bit and the `SUB_BITS` bits after it, so that a bucket is never
//! wider than 1/64 of the values in it: percentiles are right to 1.6 % from a nanosecond to an hour,
//! in a table of fixed size, and recording is a few instructions.

const SUB_BITS: u32 = 6;
const SUB_BUCKETS: u64 = 1 << SUB_BITS;
const BUCKETS: usize = ((64 - SUB_BITS as usize) + 1) << SUB_BITS;

/// Counts of durations in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    total: u128,
    max: u64,
}

impl Histogram {
    /// Makes an empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), count: 0, total: 0, max: 0 }
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.count += 1;
        self.total += u128::from(value);
        self.max = self.max.max(value);
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly; 0 if there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, exactly (rounded down); 0 if there is no value.
    #[must_use]
    pub fn mean(&self) -> u64 {
        let mean = self.total / u128::from(self.count.max(1));
        u64::try_from(mean).unwrap_or(u64::MAX)
    }

    /// The value that `per_mille / 1000` of the values do not exceed, rounded up to its bucket's end.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let rank = u128::from(self.count) * u128::from(per_mille);
        let rank = u64::try_from(rank.div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return bucket_end(index).min(self.max);
            }
        }
        self.max
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - SUB_BITS - 1).saturating_sub(value.leading_zeros());
    let row = u64::from(shift) << SUB_BITS;
    usize::try_from(row + (value >> shift)).unwrap_or(BUCKETS - 1)
}

fn bucket_end(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB_BUCKETS {
        return index;
    }
    let shift = (index >> SUB_BITS) - 1;
    let mantissa = u128::from(index - (shift << SUB_BITS));
    u64::try_from(((mantissa + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_tile_the_values_without_gap() {
        for index in 0..BUCKETS - 1 {
            let end = bucket_end(index);
            assert_eq!(bucket(end), index);
            assert_eq!(bucket(end + 1), index + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_end(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn quantiles_are_within_a_bucket_of_the_sorted_values() {
        let values: Vec<u64> = (1..=10_000).map(|i| i * i).collect();
        let mut histogram = Histogram::new();
        for &value in values.iter().rev() {
            histogram.record(value);
        }
        for per_mille in [500, 900, 990, 999, 1000] {
            let index = usize::try_from(per_mille).expect("small") * values.len() / 1000 - 1;
            let exact = values[index];
            let answer = histogram.quantile(per_mille);
            assert!(answer >= exact && answer <= exact + exact / SUB_BUCKETS + 1);
        }
        assert_eq!(histogram.count(), 10_000);
        assert_eq!(histogram.max(), 100_000_000);
        assert_eq!(histogram.mean(), 33_338_333);
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        let histogram = Histogram::new();
        assert_eq!((histogram.quantile(500), histogram.mean(), histogram.max()), (0, 0, 0));
    }
}
