//! Rising numbers, and the last of them at or below a position in two looks at memory.
//!
//! A binary search of 30,000 numbers misses the cache four times or five, one after the other. Here positions are cut into as many
//! buckets of equal width as there are numbers; for each bucket stands which number its search begins with. With numbers 0, 3, 4
//! and 9 and buckets of 4 positions the list is 0, 2, 2 (the last numbers up to 0, 4 and 8): position 5 is in the bucket of 4 to 7, so the
//! search is among the numbers from 2 to 2, and finds that with 4.

/// Rising numbers, the first of them 0.
pub struct Fences {
    numbers: Vec<u64>,
    /// Which number is the last up to the start of each bucket.
    buckets: Vec<usize>,
    /// Positions of a bucket, as a power of two.
    bucket_bits: u32,
}

impl Fences {
    /// Takes numbers that rise from 0, and may be equal.
    pub fn new(numbers: Vec<u64>) -> Self {
        let last = numbers.last().copied().unwrap_or_default();
        let width = (last / numbers.len().max(1) as u64 + 1).next_power_of_two();
        let bucket_bits = width.trailing_zeros();
        let mut next = 0;
        let bucket = |start: u64| {
            while numbers.get(next).is_some_and(|&number| number <= start) {
                next += 1;
            }
            next - 1
        };
        let buckets = (0..=last >> bucket_bits).map(|bucket| bucket << bucket_bits).map(bucket).collect();
        Self { numbers, buckets, bucket_bits }
    }

    /// The numbers.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// Which number is the last one at or below `position`.
    pub fn last_up_to(&self, position: u64) -> usize {
        let bucket = usize::try_from(position >> self.bucket_bits).unwrap_or(usize::MAX);
        let Some(&low) = self.buckets.get(bucket) else { return self.numbers.len() - 1 };
        let high = self.buckets.get(bucket + 1).map_or(self.numbers.len(), |&number| number + 1);
        low + self.numbers[low..high].partition_point(|&number| number <= position) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_last_number_is_that_of_a_search_among_all(
            steps in prop::collection::vec(prop_oneof![Just(0u64), 1u64..4, 1u64..2000, Just(1u64 << 40)], 0..60),
            positions in prop::collection::vec(prop_oneof![0u64..60_000, any::<u64>()], 20),
        ) {
            let mut numbers = vec![0];
            for step in steps {
                numbers.push(numbers[numbers.len() - 1] + step);
            }
            let fences = Fences::new(numbers.clone());
            for position in positions.into_iter().chain(numbers.iter().flat_map(|&number| [number, number + 1])) {
                let expected = numbers.partition_point(|&number| number <= position) - 1;
                prop_assert_eq!(fences.last_up_to(position), expected);
            }
        }
    }
}
