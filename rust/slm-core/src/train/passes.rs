//! Learning in passes, from more pretokens than fit into the memory, or into the caches.
//!
//! A pass goes through the [`Pool`] of pretokens twice. First it makes up for the merges of the pass before and counts pairs in a
//! [`Sketch`], then it collects [`Pieces`] between pairs that are too rare for this pass. From the pieces it learns the merges
//! above the pass's threshold: all of them, in the order that a trainer with all pretokens would find, because every pair above
//! the threshold is there with its whole count. Then the threshold falls, and a pass follows.
//!
//! Pieces are few where pretokens are many, so merging them costs next to nothing, and going through the pool goes from front to
//! back and on all threads. 47 MB of Chinese poems with two million different pretokens, vocabulary 32,768, two threads: merging
//! all places in one large array took 4.9 s and 380 MB; in passes it takes 4.4 s and 225 MB, within 256 MiB the same, and within
//! 64 MiB 6.5 s. A ratio of 8 instead of 64 made two passes more and 7.7 s.

use crate::error::{Error, Result};
use crate::io::allocator::release_freed;
use crate::token::TokenId;
use crate::train::Learning;
use crate::train::learn::Learner;
use crate::train::memory::Memory;
use crate::train::pieces::{PieceList, Pieces, cut};
use crate::train::pool::{Pool, width_of};
use crate::train::sketch::{Adder, Sketch};
use crate::train::tokens::Tokens;
use crossbeam_channel::bounded;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A pass learns the pairs that occur at least as often as the most frequent one over this.
const PASS_RATIO: u64 = 64;

/// Memory for the pieces of a pass, even where there is more: a further pass costs less than places that no cache holds.
pub(super) const MAX_PIECES_BYTES: usize = 160 << 20;

/// The most of it, where passes with less make few merges. What a pass does with its pieces before it merges cannot be interrupted,
/// and takes about a second for so many.
const MOST_PIECES_BYTES: usize = 640 << 20;

/// Where a pass makes fewer merges than this, the next one takes more memory, if there is more.
const MIN_PASS_MERGES: usize = 64;

/// Learns all merges and gives the number of passes.
pub(super) fn learn_in_passes<'a>(
    mut pool: Pool<'a>,
    tokens: &mut Tokens,
    memory: Memory,
    learning: &Learning<'a>,
) -> Result<u64> {
    let options = learning.options;
    let floor = options.min_frequency.max(1);
    // No pair that is left to merge occurs as often as this.
    let mut bound = u64::MAX;
    let mut num_passes = 0;
    let mut max_bytes = MAX_PIECES_BYTES;
    while tokens.vocab.len() < options.vocab_size && bound > floor {
        num_passes += 1;
        learning.progress.pass.store(num_passes, Ordering::Relaxed);
        release_freed();
        let pass = Pass { byte_lengths: tokens.lengths(), width: width_of(options.vocab_size), learning };
        let sketch = pass.count_pairs(&mut pool, tokens, Sketch::new(memory.sketch_bytes(), bound))?;
        let highest = u64::from(sketch.highest()).min(bound - 1);
        if highest < floor {
            break;
        }
        let threshold =
            floor.max(highest / PASS_RATIO).max(tokens.expected_last_count(options.vocab_size) / 2).min(highest);
        release_freed();
        let memory = memory.beside(pool.memory_bytes()).at_most(max_bytes);
        let pieces =
            Pieces::new(&sketch, pass.width, memory.beside(sketch.memory_bytes()), (threshold, highest), learning.stop);
        let pieces = pass.collect(&mut pool, tokens, pieces, &sketch)?;
        bound = pieces.threshold();
        let words = pieces.into_words(learning.stop)?;
        drop(sketch);
        let max_tracked = memory.max_tracked(&words);
        // A token is one place here, however many bytes it has.
        let lengths = vec![1; tokens.vocab.len()];
        let mut learner =
            Learner::new(words, lengths, tokens.lengths(), options, max_tracked, learning.stop).with_floor(bound);
        let num_merges = tokens.merges.len();
        learning.merge_all(tokens, &mut learner)?;
        if tokens.merges.len() - num_merges < MIN_PASS_MERGES {
            max_bytes = (4 * max_bytes).min(MOST_PIECES_BYTES);
        }
    }
    Ok(num_passes)
}

/// What goes through the pool.
struct Pass<'p, 'a> {
    byte_lengths: Vec<u32>,
    width: usize,
    learning: &'p Learning<'a>,
}

impl<'a> Pass<'_, 'a> {
    fn count_pairs(&self, pool: &mut Pool<'a>, tokens: &Tokens, sketch: Sketch) -> Result<Sketch> {
        let Learning { options, stop, spill, .. } = *self.learning;
        pool.scan(
            tokens,
            self.width,
            (options.num_threads, spill, stop),
            || Adder::new(&sketch),
            |adder, ids, count| {
                for pair in ids.windows(2) {
                    if self.is_short_enough(pair[0], pair[1]) {
                        adder.add(pair[0], pair[1], count);
                    }
                }
                Ok(())
            },
        )?;
        Ok(sketch)
    }

    /// Fills `pieces`: other threads cut, this one adds up.
    fn collect<'b>(
        &self,
        pool: &mut Pool<'a>,
        tokens: &Tokens,
        mut pieces: Pieces<'b>,
        sketch: &'b Sketch,
    ) -> Result<Pieces<'b>> {
        let Learning { options, stop, spill, .. } = *self.learning;
        let threshold = AtomicU64::new(pieces.threshold());
        thread::scope(|scope| {
            let (lists, to_add) = bounded::<PieceList>(2 * options.num_threads);
            let threshold = &threshold;
            let scanning = scope.spawn(move || {
                pool.scan(
                    tokens,
                    self.width,
                    (options.num_threads, spill, stop),
                    <(PieceList, Vec<u32>)>::default,
                    |(list, counts), ids, count| {
                        cut(ids, sketch, threshold.load(Ordering::Relaxed), counts, |piece| {
                            list.push(piece, self.width, count);
                        });
                        if list.is_full() {
                            lists.send(std::mem::take(list)).map_err(|_| Error::Interrupted)?;
                        }
                        Ok(())
                    },
                )
            });
            for list in to_add {
                stop.check()?;
                pieces.add(&list)?;
                threshold.store(pieces.threshold(), Ordering::Relaxed);
            }
            let rest = scanning.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            for (list, _) in &rest {
                pieces.add(list)?;
            }
            Ok(pieces)
        })
    }

    fn is_short_enough(&self, left: TokenId, right: TokenId) -> bool {
        let bytes = self.byte_lengths[left as usize] as usize + self.byte_lengths[right as usize] as usize;
        bytes <= self.learning.options.max_merged_bytes()
    }
}
