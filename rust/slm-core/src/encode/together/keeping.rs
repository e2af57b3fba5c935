//! Whether new words are worth keeping.
//!
//! Text whose words hardly come again, as most Chinese is, would fill the cache for nothing: putting a word in takes longer than merging
//! it in a row, and a large cache lies in slower memory than a small one. So a sample of the words is always kept, and all are where enough of
//! the sample is found.

use super::super::cache::Key;

/// Of how many words one belongs to the sample, by its hash.
const SAMPLED_ONE_IN: usize = 8;

/// One in how many batches is looked at.
const LOOKED_AT_ONE_IN: usize = 2;

/// Words of the sample after which it is decided anew whether all are kept.
const DECIDED_AFTER: usize = 512;

/// One in how many of them must be found to keep all: to put two words in takes about as long as not to merge one.
const FOUND_ONE_IN: usize = 2;

#[derive(Debug)]
pub(super) struct Keeping {
    /// Whether all words are kept.
    all: bool,
    num_batches: usize,
    /// Words of the sample since that was decided, and how many of them the cache had.
    num_sampled: usize,
    num_found: usize,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { all: true, num_batches: 0, num_sampled: 0, num_found: 0 }
    }
}

impl Keeping {
    /// Whether the words of this batch are to be [counted](Self::add).
    #[inline]
    pub(super) fn looks_at_batch(&mut self) -> bool {
        self.num_batches += 1;
        self.num_batches.is_multiple_of(LOOKED_AT_ONE_IN)
    }

    /// Counts words, each with whether the cache had it, and decides anew from time to time.
    pub(super) fn add(&mut self, words: impl Iterator<Item = (Key, bool)>) {
        for (_, is_found) in words.filter(|(key, _)| is_sampled(*key)) {
            self.num_sampled += 1;
            self.num_found += usize::from(is_found);
        }
        if self.num_sampled >= DECIDED_AFTER {
            self.all = self.num_found * FOUND_ONE_IN >= self.num_sampled;
            (self.num_sampled, self.num_found) = (0, 0);
        }
    }

    #[inline]
    pub(super) fn keeps_all(&self) -> bool {
        self.all
    }

    #[inline]
    pub(super) fn keeps(&self, key: Key) -> bool {
        !key.is_long() && (self.all || is_sampled(key))
    }
}

#[inline]
fn is_sampled(key: Key) -> bool {
    !key.is_long() && key.is_sampled(SAMPLED_ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> impl Iterator<Item = Key> {
        (0..8_000_u32).map(|number| number.to_string()).map(|word| Key::new(word.as_bytes(), 0, word.len()))
    }

    #[test]
    fn words_are_kept_where_enough_of_a_sample_are_found() {
        let mut keeping = Keeping::default();
        assert!(keeping.keeps_all());
        for (found_one_in, keeps_all) in [(3, false), (2, true), (100, false), (1, true)] {
            keeping
                .add(keys().filter(|key| is_sampled(*key)).enumerate().map(|(at, key)| (key, at % found_one_in == 0)));
            assert_eq!(keeping.keeps_all(), keeps_all, "{found_one_in}");
        }
        // What is kept anyway says nothing of the others.
        keeping.add(keys().map(|key| (key, !is_sampled(key))));
        assert!(!keeping.keeps_all());
    }

    #[test]
    fn one_in_so_many_is_kept_at_least_and_no_long_one() {
        let keeping = Keeping { all: false, ..Keeping::default() };
        let kept = keys().filter(|&key| keeping.keeps(key)).count();
        assert!((800..1_200).contains(&kept), "{kept}");
        assert!(!Keeping::default().keeps(Key::UNHASHED));
    }

    #[test]
    fn some_batches_are_looked_at() {
        let mut keeping = Keeping::default();
        assert_eq!((0..40).filter(|_| keeping.looks_at_batch()).count(), 40 / LOOKED_AT_ONE_IN);
    }
}
