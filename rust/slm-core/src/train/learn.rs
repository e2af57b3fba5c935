//! The merge loop: which pair is merged next, and what that does to the pairs around it.
//!
//! Two occurrences of the same string between token borders are always cut the same way inside, so each token has exactly one
//! pair that produces it. It follows that a pair has all its occurrences from the moment it first occurs, that its count only
//! falls from then on, and that it never returns once merged. The next merge is therefore the pair with the highest count, ties
//! to the smaller pair of ids, and a queue whose counts are refreshed when they come up finds it: exactly Hugging Face's order.
//!
//! It also follows that a pair whose count is below a threshold stays below it. So the loop goes in rounds: a round knows only
//! the pairs that occur at least `threshold` times, and where they are. New pairs below it are dropped at birth, and when no
//! pair is left, all pairs are counted again and the threshold falls. That spares most of the work, as most pairs never matter.

use crate::error::Result;
use crate::progress::Stop;
use crate::token::TokenId;
use crate::train::TrainOptions;
use crate::train::words::{SEPARATOR, Words};
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::ops::Range;

/// A round's threshold is the highest count at its start, by the sketch, over this. Higher means fewer rounds and more places:
/// on 47 MB of Chinese poems 16 takes 5.7 s and 427 MB, 256 takes 4.6 s and 503 MB; on English books it hardly matters.
const ROUND_RATIO: u64 = 256;

/// Places of a merge that are fetched into the cache together.
const PLACES_AHEAD: usize = 64;

/// The sketch of a round has 2 to this power of cells: at most 32 MiB.
const MIN_SKETCH_BITS: u32 = 10;
const MAX_SKETCH_BITS: u32 = 22;

/// Two ids in one word, which sorts as the pair does.
type Pair = u64;

fn pair_of(left: TokenId, right: TokenId) -> Pair {
    u64::from(left) << 32 | u64::from(right)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn ids_of(pair: Pair) -> (TokenId, TokenId) {
    ((pair >> 32) as TokenId, pair as TokenId)
}

fn hash(pair: Pair) -> u64 {
    FxBuildHasher.hash_one(pair)
}

/// The cell of a pair in a sketch, by the multiplication of Fibonacci hashing.
#[expect(clippy::cast_possible_truncation, reason = "there are at most 22 bits")]
fn cell_of(pair: Pair, bits: u32) -> usize {
    (pair.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - bits)) as usize
}

/// A pair that occurs at least as often as the round's threshold.
struct Tracked {
    pair: Pair,
    count: u64,
    /// Where its places are in [`Learner::places`], in ascending order; the pair may be gone from some of them.
    places: Range<usize>,
}

/// What the places of one merge have in common with one neighbouring token.
#[derive(Clone, Copy)]
struct Neighbour {
    weight: u64,
    num_places: u32,
    /// How far into the places of this merge's new pairs its own next place goes, or `UNTRACKED`.
    next: u32,
}

const UNTRACKED: u32 = u32::MAX;

impl Neighbour {
    const NONE: Self = Self { weight: 0, num_places: 0, next: UNTRACKED };
}

/// The neighbours on one side of the places of one merge.
#[derive(Default)]
struct Side {
    by_id: Vec<Neighbour>,
    /// The ids with places, in the order they were met.
    ids: Vec<TokenId>,
    /// Where the new pair with a neighbour starts, place by place.
    places: Vec<(TokenId, u32)>,
}

impl Side {
    #[inline]
    fn add(&mut self, id: TokenId, weight: u64, place: usize) {
        let neighbour = &mut self.by_id[id as usize];
        if neighbour.num_places == 0 {
            self.ids.push(id);
        }
        neighbour.weight += weight;
        neighbour.num_places += 1;
        #[expect(clippy::cast_possible_truncation, reason = "`Words` has less than 2^32 places")]
        self.places.push((id, place as u32));
    }

    fn clear(&mut self) {
        for &id in &self.ids {
            self.by_id[id as usize] = Neighbour::NONE;
        }
        self.ids.clear();
        self.places.clear();
    }
}

/// The state of the merge loop. [`Learner::next_pair`] and [`Learner::merge`] take turns.
pub(super) struct Learner<'a> {
    words: Words,
    /// Places that each token takes, by id.
    lengths: Vec<u32>,
    /// Bytes of each token, by id.
    byte_lengths: Vec<u32>,
    /// No pair that occurs less often is merged.
    floor: u64,
    /// No merge makes a token of more bytes.
    max_merged_bytes: usize,
    /// About how many pairs may be tracked at a time.
    max_tracked: usize,
    stop: &'a Stop,
    /// What every tracked pair occurs at least as often as; `u64::MAX` before the first round.
    threshold: u64,
    tracked: HashTable<Tracked>,
    /// The number of tracked pairs from which on the rarer ones are left to a later round.
    shed_at: usize,
    /// Tracked pairs by the count they had once; never below the true one.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
    places: Vec<u32>,
    left: Side,
    right: Side,
}

impl<'a> Learner<'a> {
    /// `lengths` holds the places that the tokens in `words` take, by id, and `byte_lengths` their bytes.
    pub fn new(
        words: Words,
        lengths: Vec<u32>,
        byte_lengths: Vec<u32>,
        options: &TrainOptions,
        max_tracked: usize,
        stop: &'a Stop,
    ) -> Self {
        Self {
            words,
            lengths,
            byte_lengths,
            floor: options.min_frequency.max(1),
            max_merged_bytes: options.max_merged_bytes(),
            max_tracked: max_tracked.max(1),
            stop,
            threshold: u64::MAX,
            tracked: HashTable::new(),
            shed_at: usize::MAX,
            queue: BinaryHeap::new(),
            places: Vec::new(),
            left: Side::default(),
            right: Side::default(),
        }
    }

    /// Ends with the pairs that occur at least `floor` times, where that is more than the options ask for.
    pub fn with_floor(self, floor: u64) -> Self {
        Self { floor: floor.max(self.floor), ..self }
    }

    /// The pair to merge next, or `None` where no pair is frequent enough. It must be merged before the next call.
    pub fn next_pair(&mut self) -> Result<Option<MergePlaces>> {
        loop {
            self.stop.check()?;
            while let Some((count, Reverse(pair))) = self.queue.pop() {
                let Ok(entry) = self.tracked.find_entry(hash(pair), |tracked| tracked.pair == pair) else { continue };
                let now = entry.get().count;
                if now < self.threshold {
                    entry.remove();
                } else if now < count {
                    self.queue.push((now, Reverse(pair)));
                } else {
                    let (Tracked { places, .. }, _) = entry.remove();
                    let (left, right) = ids_of(pair);
                    return Ok(Some(MergePlaces { left, right, count, places }));
                }
            }
            if self.threshold <= self.floor {
                return Ok(None);
            }
            self.start_round()?;
        }
    }

    /// Whether a pair may be merged, however often it occurs.
    fn is_short_enough(&self, left: TokenId, right: TokenId) -> bool {
        let bytes = self.byte_lengths[left as usize] as usize + self.byte_lengths[right as usize] as usize;
        bytes <= self.max_merged_bytes
    }

    /// Lowers the threshold, counts all pairs anew and tracks those that reach it.
    ///
    /// Most pairs do not, and a hash table of all of them would be the slowest and largest part of training. So a sketch comes
    /// first: cells that pairs share by hash. A pair has at most the count of its cell, and is passed over if that is too low.
    fn start_round(&mut self) -> Result<()> {
        let bits = (self.words.tokens.len() / 4).max(1).ilog2().clamp(MIN_SKETCH_BITS, MAX_SKETCH_BITS);
        let mut sketch = vec![0_u64; 1 << bits];
        self.words.for_each_pair(&self.lengths, self.stop, |left, right, _, weight| {
            sketch[cell_of(pair_of(left, right), bits)] += weight;
        })?;
        self.stop.check()?;
        // No untracked pair reaches the threshold there was.
        let highest = sketch.iter().copied().max().unwrap_or(0).min(self.threshold - 1);
        let mut threshold = self.floor.max(highest / ROUND_RATIO);

        let mut tracked: HashTable<Tracked> = HashTable::new();
        self.words.for_each_pair(&self.lengths, self.stop, |left, right, _, weight| {
            let pair = pair_of(left, right);
            if sketch[cell_of(pair, bits)] >= threshold && self.is_short_enough(left, right) {
                // Too many for the memory: fewer now, and the others in a later round.
                while tracked.len() >= self.max_tracked && threshold < highest {
                    threshold = (2 * threshold).min(highest);
                    tracked.retain(|tracked| sketch[cell_of(tracked.pair, bits)] >= threshold);
                }
                if sketch[cell_of(pair, bits)] < threshold {
                    return;
                }
                let entry = tracked.entry(hash(pair), |other| other.pair == pair, |other| hash(other.pair));
                let mut entry = entry.or_insert(Tracked { pair, count: 0, places: 0..0 });
                entry.get_mut().count += weight;
                entry.get_mut().places.end += 1;
            }
        })?;
        self.stop.check()?;
        let most = tracked.iter().map(|tracked| tracked.count).max().unwrap_or(0);
        tracked.retain(|tracked| tracked.count >= threshold);
        self.threshold = threshold;
        if most < threshold {
            // Only cells that several pairs share are so high. So no pair occurs more often than those in them do, or than the
            // other cells say.
            let other = sketch.iter().copied().filter(|&count| count < threshold).max().unwrap_or(0);
            self.threshold = (most.max(other) + 1).min(threshold);
        }
        self.queue.clear();
        self.shed_at = self.max_tracked.max(tracked.len());
        let mut end = 0;
        for tracked in &mut tracked {
            self.queue.push((tracked.count, Reverse(tracked.pair)));
            let start = end;
            end += tracked.places.end;
            tracked.places = start..start;
        }
        self.places.clear();
        self.places.resize(end, 0);
        self.words.for_each_pair(&self.lengths, self.stop, |left, right, place, _| {
            let pair = pair_of(left, right);
            if sketch[cell_of(pair, bits)] >= self.threshold
                && let Some(tracked) = tracked.find_mut(hash(pair), |tracked| tracked.pair == pair)
            {
                #[expect(clippy::cast_possible_truncation, reason = "`Words` has less than 2^32 places")]
                {
                    self.places[tracked.places.end] = place as u32;
                }
                tracked.places.end += 1;
            }
        })?;
        self.tracked = tracked;
        Ok(())
    }

    /// Replaces a pair by `produced`, from the first place to the last, and updates the pairs around it.
    pub fn merge(&mut self, merge: MergePlaces, produced: TokenId) {
        let MergePlaces { left: a, right: b, places, .. } = merge;
        let (length_of_a, length_of_b) = (self.lengths[a as usize] as usize, self.lengths[b as usize] as usize);
        let num_ids = self.lengths.len().max(produced as usize + 1);
        self.lengths.resize(num_ids, 0);
        self.lengths[produced as usize] = self.lengths[a as usize] + self.lengths[b as usize];
        self.byte_lengths.resize(num_ids, 0);
        self.byte_lengths[produced as usize] = self.byte_lengths[a as usize] + self.byte_lengths[b as usize];
        self.left.by_id.resize(num_ids, Neighbour::NONE);
        self.right.by_id.resize(num_ids, Neighbour::NONE);

        // Weight of places that follow another one directly, as in `abab`: there the new token meets itself.
        let mut weight_of_twins = 0;
        let tokens = &mut self.words.tokens;
        for places in self.places[places].chunks(PLACES_AHEAD) {
            // Loads that do not wait for one another: what the loop below needs is then in the cache.
            black_box(places.iter().fold(0, |all, &place| all ^ tokens[place as usize]));
            for &place in places {
                let start = place as usize;
                let middle = start + length_of_a;
                // A stale place shows another token: those only grow, and what lies inside them is overwritten.
                if tokens[start] != a || tokens[middle] != b {
                    continue;
                }
                let end = middle + length_of_b;
                let (before, after) = (tokens[start - 1], tokens[end]);
                tokens[middle] = SEPARATOR;
                tokens[start] = produced;
                tokens[end - 1] = produced;
                let weight = self.words.weights.at(start);
                if before == produced {
                    weight_of_twins += weight;
                }
                if before != SEPARATOR {
                    self.left.add(before, weight, start - self.lengths[before as usize] as usize);
                }
                if after != SEPARATOR {
                    self.right.add(after, weight, start);
                }
            }
        }
        self.update_pairs(a, b, produced, weight_of_twins);
        self.left.clear();
        self.right.clear();
        if self.tracked.len() > self.shed_at {
            self.shed();
        }
    }

    /// Raises the threshold so that at most half of the pairs stay tracked, or all that are as frequent as the next one.
    #[cold]
    fn shed(&mut self) {
        self.tracked.retain(|tracked| tracked.count >= self.threshold);
        let mut counts: Vec<u64> = self.tracked.iter().map(|tracked| tracked.count).collect();
        let Some(&highest) = counts.iter().max() else { return };
        let middle = counts.len() / 2;
        self.threshold = self.threshold.max((*counts.select_nth_unstable(middle).1 + 1).min(highest));
        self.tracked.retain(|tracked| tracked.count >= self.threshold);
        self.tracked.shrink_to_fit(|tracked| hash(tracked.pair));
        self.queue = self.tracked.iter().map(|tracked| (tracked.count, Reverse(tracked.pair))).collect();
        self.shed_at = self.max_tracked.max(2 * self.tracked.len());
    }

    /// Takes the pairs that were from the counts, and tracks those that are new and frequent enough.
    ///
    /// With `x` before and `y` after the new token `c`, pairs `(x, a)` and `(b, y)` became `(x, c)` and `(c, y)`. In `abab` the
    /// first place sees `y = a`, which the second place then takes away: `(c, a)` was never there, `(c, c)` is.
    fn update_pairs(&mut self, a: TokenId, b: TokenId, c: TokenId, weight_of_twins: u64) {
        let first = self.places.len();
        let mut num_places = 0;
        for is_left in [true, false] {
            for idx in 0..if is_left { self.left.ids.len() } else { self.right.ids.len() } {
                let side = if is_left { &self.left } else { &self.right };
                let id = side.ids[idx];
                let Neighbour { weight, num_places: own_places, .. } = side.by_id[id as usize];
                let (old, new) =
                    if is_left { (pair_of(id, a), pair_of(id, c)) } else { (pair_of(b, id), pair_of(c, id)) };
                // `(c, a)` with `x = c` never was a pair: what it stands for was `(b, a)`, which the right side takes away.
                if !(is_left && id == c)
                    && let Some(tracked) = self.tracked.find_mut(hash(old), |tracked| tracked.pair == old)
                {
                    tracked.count -= weight;
                }
                let weight = if !is_left && id == a { weight - weight_of_twins } else { weight };
                let (left, right) = ids_of(new);
                if weight < self.threshold || !self.is_short_enough(left, right) {
                    continue;
                }
                let start = first + num_places as usize;
                let tracked = Tracked { pair: new, count: weight, places: start..start + own_places as usize };
                self.tracked.insert_unique(hash(new), tracked, |other| hash(other.pair));
                self.queue.push((weight, Reverse(new)));
                let side = if is_left { &mut self.left } else { &mut self.right };
                side.by_id[id as usize].next = num_places;
                num_places += own_places;
            }
        }
        if num_places == 0 {
            return;
        }
        self.places.resize(first + num_places as usize, 0);
        for side in [&mut self.left, &mut self.right] {
            for &(id, place) in &side.places {
                let next = &mut side.by_id[id as usize].next;
                if *next != UNTRACKED {
                    self.places[first + *next as usize] = place;
                    *next += 1;
                }
            }
        }
    }
}

/// A pair that is about to be merged.
pub(super) struct MergePlaces {
    pub left: TokenId,
    pub right: TokenId,
    /// How often the pair occurs.
    pub count: u64,
    places: Range<usize>,
}
