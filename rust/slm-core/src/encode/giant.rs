//! Pretokens too long to be merged at once: a window at a time, in linear time and with the memory of a window.
//!
//! That the windows' ids are those of the whole rests on this. Where every merge comes after those that make its two sides, a
//! sequence of tokens is what encoding makes of its bytes if, and only if, that is so for each two neighbours of it. (Take the
//! first merge that crosses a border between two of them. Up to its rank both have become what they become alone side by side,
//! as merges go by rank and, of one rank, from the left. So the two alone would have merged there too.) The tokens of a window
//! are such a sequence and so is any beginning of it. So the next window begins between two tokens of this one, somewhat before
//! its end, and all that is to check is that the last token kept and the first one of the new window are such neighbours. Where
//! they are not, the new window begins some tokens earlier.
//!
//! So the whole pretoken need not be there at once: a [`Giant`] takes it in parts, and keeps back the last tokens, as many as a window may
//! have to begin earlier. Should that ever be too few, it says so and gives nothing wrong.

use super::merge::merge;
use super::pairs::NO_RANK;
use super::{Encoder, LongMerge, Scratch, TokenId};
use crate::progress::Stop;

/// How a giant pretoken is taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    /// Bytes of a window.
    pub bytes: usize,
    /// How far before its end a window is left; less than its bytes, so that each goes further than the one before.
    pub margin_bytes: usize,
    /// Bytes before the end of the parts so far whose tokens are kept back.
    pub kept_bytes: usize,
}

impl Windows {
    /// What the merge works on stays in the second-level cache; what follows hardly ever changes tokens a margin back.
    pub const DEFAULT: Self = Self { bytes: 1 << 15, margin_bytes: 1 << 10, kept_bytes: 1 << 18 };
}

/// Bytes that the longest token may have where pretokens come in parts: what is kept back is many tokens.
const MAX_TOKEN_BYTES: usize = Windows::DEFAULT.kept_bytes / 8;

/// Work space.
#[derive(Debug, Default)]
pub(super) struct WindowSpace {
    long: LongMerge,
    window: Vec<TokenId>,
    pair: Vec<TokenId>,
}

/// Why a pretoken is not encoded to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The work was stopped.
    Interrupted,
    /// Tokens would have to change that are not kept any more.
    TooFarBack,
}

/// How many bytes each token has, for vocabularies with a token for every byte whose merges come after those that make their sides.
#[derive(Debug)]
pub(super) struct Lengths(Option<Box<[u32]>>);

impl Lengths {
    /// `byte_ids` are the tokens of one byte, `merges` come in rank order as (left, right, produced).
    pub(super) fn new(byte_ids: &[TokenId; 256], merges: &[(TokenId, TokenId, TokenId)]) -> Self {
        // The ids of a window would not cover it.
        if byte_ids.contains(&super::NO_TOKEN) {
            return Self(None);
        }
        let ids = || merges.iter().flat_map(|&(left, right, produced)| [left, right, produced]);
        let largest = ids().chain(byte_ids.iter().copied()).max().unwrap_or(0) as usize;
        let mut lengths = vec![0_u32; largest + 1];
        for &id in byte_ids {
            lengths[id as usize] = 1;
        }
        let mut is_used = vec![false; largest + 1];
        for &(left, right, produced) in merges {
            let [left, right, produced] = [left, right, produced].map(|id| id as usize);
            let length = lengths[left].saturating_add(lengths[right]);
            (is_used[left], is_used[right]) = (true, true);
            let is_made = lengths[left] != 0 && lengths[right] != 0;
            // Made a second time after it was used, or as something else, or from what is made later.
            if !is_made || is_used[produced] || lengths[produced] != 0 && lengths[produced] != length {
                return Self(None);
            }
            lengths[produced] = length;
        }
        Self(Some(lengths.into_boxed_slice()))
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    fn longest(&self) -> usize {
        self.0.iter().flatten().max().map_or(0, |&length| length as usize)
    }

    fn of(&self, id: TokenId) -> usize {
        self.0.as_ref().map_or(1, |lengths| lengths[id as usize] as usize)
    }
}

impl Encoder {
    /// Whether a pretoken is to be encoded in windows.
    #[inline]
    pub(super) fn is_giant(&self, pretoken: &[u8]) -> bool {
        pretoken.len() > 2 * Windows::DEFAULT.bytes && self.lengths.is_known()
    }

    /// Whether a pretoken that is longer than any token can be encoded in parts.
    pub(crate) fn takes_parts(&self) -> bool {
        let pieces = self.whole_pieces.iter().flat_map(|pieces| pieces.keys());
        let longest = pieces.map(|piece| piece.len()).max().unwrap_or(0).max(self.lengths.longest());
        self.lengths.is_known() && longest <= MAX_TOKEN_BYTES
    }

    /// Appends the ids of a pretoken, which has the lengths of its tokens known. Where `stop` is raised the work ends, and `scratch`
    /// remembers.
    pub(super) fn encode_in_windows(
        &self,
        pretoken: &[u8],
        windows: &Windows,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
        stop: &Stop,
    ) {
        let mut row = Row { text: pretoken, is_whole: true, ids, first: 0, start: 0, is_cut: false };
        row.first = row.ids.len();
        scratch.is_interrupted |= self.extend(&mut row, windows, &mut scratch.windows, stop).is_err();
    }

    /// Goes on with a row of tokens, to the end of the text or, where there is more to come, as far as there are whole windows.
    fn extend(&self, row: &mut Row<'_>, windows: &Windows, space: &mut WindowSpace, stop: &Stop) -> Result<(), Broken> {
        let len = row.text.len();
        while row.start < len && (row.is_whole || row.start + windows.bytes <= len) {
            stop.check().map_err(|_| Broken::Interrupted)?;
            let end = len.min(row.start + windows.bytes);
            self.open_window(row, end, space)?;
            let is_last = row.is_whole && end == len;
            for &id in &space.window {
                if !is_last && row.start + windows.margin_bytes > end {
                    break;
                }
                row.ids.push(id);
                row.start += self.lengths.of(id);
            }
        }
        Ok(())
    }

    /// Makes the window the ids of the text up to `end` that go on from the row: from its end or from some tokens earlier, which then are
    /// gone from it.
    fn open_window(&self, row: &mut Row<'_>, end: usize, space: &mut WindowSpace) -> Result<(), Broken> {
        let WindowSpace { long, window, pair } = space;
        // Where one beginning fits, all earlier ones do.
        let mut steps_back = 1;
        loop {
            window.clear();
            self.merge_known(&row.text[row.start..end], long, window);
            let (Some(&before), Some(&after)) = (row.ids[row.first..].last(), window.first()) else {
                return if row.is_cut { Err(Broken::TooFarBack) } else { Ok(()) };
            };
            let (from, to) = (row.start - self.lengths.of(before), row.start + self.lengths.of(after));
            pair.clear();
            self.merge_known(&row.text[from..to], long, pair);
            if pair[..] == [before, after] {
                return Ok(());
            }
            let most = (row.ids.len() - row.first - usize::from(row.is_cut)).max(1);
            for _ in 0..most.min(steps_back) {
                row.start -= row.ids.pop().map_or(0, |id| self.lengths.of(id));
            }
            steps_back *= 2;
        }
    }

    /// Appends what the merges make of bytes which all have a token.
    fn merge_known(&self, bytes: &[u8], long: &mut LongMerge, ids: &mut Vec<TokenId>) {
        let first = ids.len();
        ids.extend(bytes.iter().map(|&byte| self.byte_ids[usize::from(byte)]));
        if is_periodic(bytes) {
            loop {
                let before = ids.len() - first;
                if !self.merge_lowest(ids, first) {
                    return;
                }
                if ids.len() - first > before / 5 * 4 {
                    break;
                }
            }
        }
        merge(&self.pairs, long, ids, first);
    }

    /// Applies the merge of lowest rank everywhere among the ids from `first` on; whether there was one. A run of letters needs few
    /// such passes, each over much less.
    ///
    /// No merge comes before that of its sides, so what this one produces merges with nothing earlier.
    fn merge_lowest(&self, ids: &mut Vec<TokenId>, first: usize) -> bool {
        let row = &mut ids[first..];
        let lowest = row.windows(2).map(|pair| self.pairs.rank(pair[0], pair[1])).min().unwrap_or(NO_RANK);
        if lowest == NO_RANK {
            return false;
        }
        let (len, mut at, mut kept) = (row.len(), 0, 0);
        while at < len {
            let merges = at + 1 < len && self.pairs.rank(row[at], row[at + 1]) == lowest;
            row[kept] = if merges { self.pairs.produced(lowest) } else { row[at] };
            at += 1 + usize::from(merges);
            kept += 1;
        }
        ids.truncate(first + kept);
        true
    }
}

/// Whether the bytes repeat the first of them, or the first two, three or four.
fn is_periodic(bytes: &[u8]) -> bool {
    (1..=4).any(|period| bytes.len() > period && bytes[period..] == bytes[..bytes.len() - period])
}

/// The tokens of the beginning of a text, in a longer list of ids.
struct Row<'a> {
    text: &'a [u8],
    /// Whether the pretoken ends with the text.
    is_whole: bool,
    ids: &'a mut Vec<TokenId>,
    /// The first of them.
    first: usize,
    /// Where the last one ends in the text.
    start: usize,
    /// Whether the pretoken has begun before the text, so that the first one cannot change.
    is_cut: bool,
}

/// A pretoken that is encoded part by part.
#[derive(Debug)]
pub(crate) struct Giant {
    windows: Windows,
    space: WindowSpace,
    /// The text of what is kept back, and what has no tokens yet.
    text: Vec<u8>,
    kept: Vec<TokenId>,
    /// Where the last token ends in the text.
    start: usize,
    is_cut: bool,
}

impl Default for Giant {
    fn default() -> Self {
        Self::new(Windows::DEFAULT)
    }
}

impl Giant {
    fn new(windows: Windows) -> Self {
        let (space, text, kept) = (WindowSpace::default(), Vec::new(), Vec::new());
        Self { windows, space, text, kept, start: 0, is_cut: false }
    }

    /// Takes the next part of a pretoken, which with `is_last` is complete, and appends the ids that are sure by now. `encoder` must
    /// be the same for all parts, and one that [`Encoder::takes_parts`].
    pub(crate) fn feed(
        &mut self,
        encoder: &Encoder,
        part: &[u8],
        is_last: bool,
        ids: &mut Vec<TokenId>,
        stop: &Stop,
    ) -> Result<(), Broken> {
        let Self { windows, space, text, kept, start, is_cut } = self;
        text.extend_from_slice(part);
        let mut row = Row { text, is_whole: is_last, ids: kept, first: 0, start: *start, is_cut: *is_cut };
        encoder.extend(&mut row, windows, space, stop)?;
        *start = row.start;
        if is_last {
            ids.append(kept);
            text.clear();
            (*start, *is_cut) = (0, false);
            return Ok(());
        }
        let (mut num_given, mut given_bytes) = (kept.len(), *start);
        while num_given > 0 && text.len() - given_bytes < windows.kept_bytes {
            num_given -= 1;
            given_bytes -= encoder.lengths.of(kept[num_given]);
        }
        ids.extend(kept.drain(..num_given));
        text.drain(..given_bytes);
        *start -= given_bytes;
        *is_cut |= num_given > 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Merges of the known symbols, which are a, b, c and what earlier merges made; numbers from 256 on.
    fn merges(rules: &[(usize, usize)]) -> Vec<(TokenId, TokenId, TokenId)> {
        let mut known: Vec<TokenId> = vec![97, 98, 99];
        let merge = |(new, &(left, right)): (TokenId, &(usize, usize))| {
            let merge = (known[left % known.len()], known[right % known.len()], new);
            known.push(new);
            merge
        };
        (256..).zip(rules).map(merge).collect()
    }

    fn encoder(merges: Vec<(TokenId, TokenId, TokenId)>) -> Encoder {
        Encoder::new((0..=255).map(|byte| (byte, TokenId::from(byte))), merges.into_iter(), None)
    }

    /// What comes of parts that end at `cuts`, or why nothing does.
    fn in_parts(
        encoder: &Encoder,
        giant: &mut Giant,
        text: &[u8],
        cuts: &[usize],
        stop: &Stop,
    ) -> Result<Vec<TokenId>, Broken> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.sort_unstable();
        let (mut ids, mut start) = (Vec::new(), 0);
        for end in cuts {
            giant.feed(encoder, &text[start..end], false, &mut ids, stop)?;
            start = end;
        }
        giant.feed(encoder, &text[start..], true, &mut ids, stop)?;
        Ok(ids)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn parts_give_the_ids_of_the_whole(
            rules in proptest::collection::vec((0_usize..40, 0_usize..40), 0..40),
            text in prop_oneof!["[abc]{1,300}", "a{1,300}", "(ab){1,150}", "(aab){1,100}c{0,9}"],
            cuts in proptest::collection::vec(0_usize..300, 0..12),
            (margin_bytes, more_bytes) in (0_usize..12, 1_usize..12),
            kept_bytes in prop_oneof![0_usize..40, Just(usize::MAX)],
        ) {
            let encoder = encoder(merges(&rules));
            prop_assume!(encoder.lengths.is_known());
            let mut expected = Vec::new();
            encoder.encode_at_once(text.as_bytes(), &mut Scratch::default(), &mut expected);
            let stop = Stop::default();
            let mut giant = Giant::new(Windows { bytes: margin_bytes + more_bytes, margin_bytes, kept_bytes });
            match in_parts(&encoder, &mut giant, text.as_bytes(), &cuts, &stop) {
                Ok(ids) => prop_assert_eq!(ids, expected.clone()),
                Err(broken) => prop_assert!(broken == Broken::TooFarBack && kept_bytes < usize::MAX),
            }
            // What is kept back by default is all of it, and another pretoken can follow.
            let mut giant = Giant::default();
            for _ in 0..2 {
                let ids = in_parts(&encoder, &mut giant, text.as_bytes(), &cuts, &stop);
                prop_assert_eq!(ids.as_ref(), Ok(&expected));
            }
        }
    }

    #[test]
    fn tokens_that_depend_on_what_is_far_behind_them_are_refused_and_not_wrong() {
        // Of a chain the last two merge, then the two before them, and so on to its beginning: one byte more changes every token.
        let chain: Vec<u8> = (0..200).collect();
        let merges: Vec<_> = (256..).zip((1..200).rev()).map(|(new, right)| (right - 1, right, new)).collect();
        let encoder = encoder(merges);
        let stop = Stop::default();
        let windows = Windows { bytes: 16, margin_bytes: 4, kept_bytes: 1000 };
        let cuts: Vec<usize> = (0..200).step_by(20).collect();
        let outcomes = [199, 200].map(|len| {
            let mut expected = Vec::new();
            encoder.encode_at_once(&chain[..len], &mut Scratch::default(), &mut expected);
            let parts = |windows| in_parts(&encoder, &mut Giant::new(windows), &chain[..len], &cuts, &stop);
            assert_eq!(parts(windows).as_ref(), Ok(&expected));
            let outcome = parts(Windows { kept_bytes: 40, ..windows });
            assert!(outcome == Ok(expected) || outcome == Err(Broken::TooFarBack));
            outcome.is_ok()
        });
        assert_ne!(outcomes[0], outcomes[1]);
    }

    #[test]
    fn a_stopped_pretoken_says_so() {
        let encoder = encoder(merges(&[(0, 0)]));
        let stop = Stop::default();
        stop.request();
        let outcome = Giant::default().feed(&encoder, &vec![b'a'; 1 << 17], false, &mut Vec::new(), &stop);
        assert_eq!(outcome, Err(Broken::Interrupted));
    }

    #[test]
    fn vocabularies_with_huge_tokens_or_missing_bytes_take_no_parts() {
        assert!(encoder(merges(&[(0, 1)])).takes_parts());
        // Each as long again as the one before: the 16th has 64 KiB.
        let doubling: Vec<_> = std::iter::once((0, 0)).chain((3..18).map(|last| (last, last))).collect();
        assert!(!encoder(merges(&doubling)).takes_parts());
        assert!(encoder(merges(&doubling[..15])).takes_parts());
        assert!(!Encoder::new([(b'a', 0)], [].into_iter(), None).takes_parts());
        let long_piece = [(vec![b'a'; MAX_TOKEN_BYTES + 1].into_boxed_slice(), 7)].into_iter().collect();
        let bytes = (0..=255).map(|byte| (byte, TokenId::from(byte)));
        assert!(!Encoder::new(bytes, [].into_iter(), Some(long_piece)).takes_parts());
    }
}
