//! Sorting in place that can be broken off: a table of gigabytes takes seconds to sort, and an interrupt waits for a moment only.
//!
//! Items are first brought into buckets between splitters that a sample gives, each into its own, and then each bucket is sorted.
//! That is what a samplesort does; it also finds most of its items in the cache when it sorts them.

use crate::error::Result;
use crate::progress::Stop;

/// Fewer items than this are sorted at once, which takes some milliseconds.
const MAX_AT_ONCE: usize = 1 << 16;

const NUM_BUCKETS: usize = 256;

/// Items that are looked at for each splitter.
const OVERSAMPLING: usize = 16;

/// Items between two looks at the stop flag.
const STOP_INTERVAL: usize = 1 << 16;

/// Sorts `items` by `key`; of equal keys any may come first.
///
/// # Errors
/// [`crate::Error::Interrupted`], after which the order is any.
pub(crate) fn sort_by_key<T: Copy, K: Ord + Copy>(items: &mut [T], key: impl Fn(&T) -> K, stop: &Stop) -> Result<()> {
    if items.len() <= MAX_AT_ONCE {
        items.sort_unstable_by_key(key);
        return Ok(());
    }
    let step = items.len() / (NUM_BUCKETS * OVERSAMPLING);
    let mut splitters: Vec<K> = items.iter().step_by(step.max(1)).map(&key).collect();
    splitters.sort_unstable();
    let step = splitters.len() / NUM_BUCKETS;
    let splitters: Vec<K> = splitters.into_iter().skip(step).step_by(step.max(1)).take(NUM_BUCKETS - 1).collect();
    let bucket_of = |item: &T| splitters.partition_point(|splitter| *splitter <= key(item));

    // Where each bucket is, and up to where it holds its own items.
    let mut ends = [0; NUM_BUCKETS];
    for part in items.chunks(STOP_INTERVAL) {
        stop.check()?;
        for item in part {
            ends[bucket_of(item)] += 1;
        }
    }
    let mut next = [0; NUM_BUCKETS];
    let mut sum = 0;
    for (start, end) in next.iter_mut().zip(&mut ends) {
        *start = sum;
        sum += *end;
        *end = sum;
    }
    let mut left = STOP_INTERVAL;
    for bucket in 0..NUM_BUCKETS {
        while next[bucket] < ends[bucket] {
            let place = next[bucket];
            let its_bucket = bucket_of(&items[place]);
            items.swap(place, next[its_bucket]);
            next[its_bucket] += 1;
            left -= 1;
            if left == 0 {
                left = STOP_INTERVAL;
                stop.check()?;
            }
        }
    }
    let mut start = 0;
    for end in ends {
        stop.check()?;
        // A bucket of one key, as many equal ones make it, is the only one that can be large; sorting it takes one look.
        items[start..end].sort_unstable_by_key(&key);
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_items_come_into_order() {
        for num_items in [0, 1, 1000, MAX_AT_ONCE, MAX_AT_ONCE + 1, 300_000] {
            for modulus in [1, 3, 1000, u64::MAX] {
                let mut items: Vec<u64> =
                    (0..num_items as u64).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % modulus).collect();
                let mut expected = items.clone();
                expected.sort_unstable();
                sort_by_key(&mut items, |&item| item, &Stop::default()).unwrap();
                assert!(items == expected, "{num_items} {modulus}");
            }
        }
    }

    #[test]
    fn it_ends_when_it_is_stopped() {
        let stop = Stop::default();
        stop.request();
        assert!(sort_by_key(&mut vec![0_u8; MAX_AT_ONCE + 1], |&item| item, &stop).is_err());
    }
}
