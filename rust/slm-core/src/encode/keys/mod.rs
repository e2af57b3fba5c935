//! The keys of many pretokens at a time, in vectors where the processor has them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::cache::{Key, Lines, Spot};
use crate::processor::Processor;
use crate::short;

/// Pretokens whose keys are made: those of `text` between neighbours of `ends`, which ascend, for these lines of a cache.
#[derive(Clone, Copy)]
pub(super) struct Pretokens<'a> {
    pub text: &'a [u8],
    pub ends: &'a [usize],
    pub lines: Lines<'a>,
}

/// Where the keys go, with room for all.
pub(super) struct Rows<'a> {
    pub keys: &'a mut [Key],
    pub spots: &'a mut [Spot],
    /// Numbers of the pretokens that are too long for a key. In place of their keys is anything, and their spots are that of any
    /// line.
    pub long: &'a mut [usize],
}

/// How many keys were made, and how many of their pretokens are too long for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Made {
    len: usize,
    num_long: usize,
}

/// Makes the keys and spots of all, asks for their lines, and gives how many are too long.
#[inline]
pub(super) fn make(processor: Processor, pretokens: Pretokens<'_>, to: &mut Rows<'_>) -> usize {
    // Those that begin close to the end of the text are left.
    let made = match processor {
        // SAFETY: the processor has these instructions, or there was no such variant.
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512(_) => unsafe { avx512::make(pretokens, to) },
        // SAFETY: see above.
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2(_) => unsafe { avx2::make(pretokens, to) },
        Processor::Common => Made::default(),
    };
    let Pretokens { text, ends, lines } = pretokens;
    let Made { len, mut num_long } = made;
    for idx in len..ends.len() - 1 {
        let (start, end) = (ends[idx], ends[idx + 1]);
        if end - start > short::MAX_BYTES {
            to.spots[idx] = Spot::default();
            to.long[num_long] = idx;
            num_long += 1;
        } else {
            to.keys[idx] = Key::new(text, start, end);
            to.spots[idx] = lines.spot(to.keys[idx]);
            lines.prefetch(to.spots[idx]);
        }
    }
    num_long
}

#[cfg(test)]
mod tests {
    use super::super::cache::Cache;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_made_at_once_are_those_made_one_by_one(
            text in prop::collection::vec(any::<u8>(), 0..600),
            lens in prop::collection::vec(prop_oneof![9 => 1..16_usize, 1 => 16..300_usize], 0..60),
        ) {
            let mut ends = vec![0];
            ends.extend(lens.iter().scan(0, |end, len| { *end += len; (*end <= text.len()).then_some(*end) }));
            let (cache, len) = (Cache::new(), ends.len() - 1);
            let pretokens = Pretokens { text: &text, ends: &ends, lines: cache.lines() };
            let is_long = |idx: &usize| ends[idx + 1] - ends[*idx] > short::MAX_BYTES;
            for processor in Processor::all() {
                let (mut keys, mut spots, mut long) = (vec![Key::default(); len], vec![Spot::default(); len], vec![0; len]);
                let to = &mut Rows { keys: &mut keys, spots: &mut spots, long: &mut long };
                let num_long = make(processor, pretokens, to);
                prop_assert_eq!(&long[..num_long], (0..len).filter(is_long).collect::<Vec<_>>());
                for idx in (0..len).filter(|idx| !is_long(idx)) {
                    let key = Key::new(&text, ends[idx], ends[idx + 1]);
                    prop_assert_eq!((keys[idx], spots[idx]), (key, cache.lines().spot(key)), "{:?}", processor);
                }
            }
        }
    }
}
