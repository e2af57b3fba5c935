//! Learning from counts on disk, in as many passes as the memory asks for.
//!
//! A pass goes through the counts twice. Each time it cuts every pretoken into the tokens that the merges so far make of it;
//! first it counts pairs in a [`Sketch`], then it collects [`Pieces`] between pairs that are too rare for this pass. From the
//! pieces it learns the merges above the pass's threshold: all of them, in the order that a trainer with all pretokens would
//! find, because every pair above the threshold is there with its whole count. Then the threshold falls, and a pass follows.

use crate::count::{PretokenCounts, SortedCounts};
use crate::encode::{Encoder, Scratch};
use crate::error::{Error, Result};
use crate::token::TokenId;
use crate::train::learn::Learner;
use crate::train::pieces::{Pieces, cut, width_of, write};
use crate::train::sketch::Sketch;
use crate::train::tokens::Tokens;
use crate::train::words::Words;
use crate::train::{Learning, TrainOptions};
use crossbeam_channel::{Sender, bounded};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Pieces are handed on once they have this many bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Memory of a pair that the learner tracks: 33 bytes in a hash table that doubles at 7/8, and 16 in a heap.
const TRACKED_BYTES: usize = 150;

/// Memory of a token of the vocabulary: its bytes twice, its merge, and the tables that are indexed by it.
const VOCAB_BYTES: usize = 200;

/// The memory that learning may take, and what it takes.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    bytes: usize,
}

impl Memory {
    /// As much as there is.
    pub const UNLIMITED: Self = Self { bytes: usize::MAX };

    /// What the vocabulary leaves of `bytes`, half of them at least.
    pub fn new(bytes: usize, options: &TrainOptions) -> Self {
        Self { bytes: bytes.saturating_sub(options.vocab_size.saturating_mul(VOCAB_BYTES)).max(bytes / 2) }
    }

    /// Whether a whole table can be learned from at once.
    pub fn holds_all(self, counts: &PretokenCounts) -> bool {
        let mut num_bytes = 0;
        counts.for_each(|pretoken, _| num_bytes += pretoken.len());
        self.holds(counts, num_bytes, 1)
    }

    /// Whether a table of so many tokens, written in `width` bytes each, can be made into words and learned from.
    pub fn holds(self, counts: &PretokenCounts, num_tokens: usize, width: usize) -> bool {
        let num_pieces = counts.len();
        let list = size_of::<(u64, usize, usize)>() * num_pieces + width * num_tokens;
        let words = words_bytes(num_tokens + num_pieces);
        let learner = words + places_bytes(num_tokens) + self.bytes / 4;
        let most = (counts.allocated_bytes() + list).max(list + words).max(learner);
        most <= self.bytes && num_tokens + num_pieces < u32::MAX as usize / 2
    }

    /// How many pairs may be tracked beside `words`.
    pub fn max_tracked(self, words: &Words) -> usize {
        let num_tokens = words.tokens.len();
        let taken = words_bytes(num_tokens) + places_bytes(num_tokens);
        self.bytes.saturating_sub(taken).max(self.bytes / 4) / TRACKED_BYTES
    }

    /// The table of pieces is there twice while the threshold is raised, beside the sketch.
    pub fn piece_table_bytes(self) -> usize {
        self.bytes / 16 * 7
    }

    fn sketch_bytes(self) -> usize {
        self.bytes / 8
    }
}

/// Tokens and the index of weights.
fn words_bytes(num_tokens: usize) -> usize {
    num_tokens * size_of::<TokenId>() / 8 * 9
}

/// Places of pairs at the start of the rounds, two more for each merge, and the learner's own sketch.
fn places_bytes(num_tokens: usize) -> usize {
    num_tokens * (3 * size_of::<u32>() + 2)
}

/// Learns all merges and gives the number of passes.
pub(super) fn learn_in_passes(
    sorted: &SortedCounts<'_>,
    tokens: &mut Tokens,
    memory: Memory,
    learning: &Learning<'_>,
) -> Result<u64> {
    let options = learning.options;
    let floor = options.min_frequency.max(1);
    // No pair that is left to merge occurs as often as this.
    let mut bound = u64::MAX;
    let mut num_passes = 0;
    while tokens.vocab.len() < options.vocab_size && bound > floor {
        num_passes += 1;
        let pass = Pass::new(tokens, sorted, learning);
        let sketch = pass.count_pairs(memory)?;
        let highest = u64::from(sketch.highest()).min(bound - 1);
        if highest < floor {
            break;
        }
        let pieces = pass.collect(Pieces::new(&sketch, pass.width, memory, floor, highest), &sketch)?;
        bound = pieces.threshold();
        let words = pieces.into_words()?;
        drop(sketch);
        let max_tracked = memory.max_tracked(&words);
        // A token is one place here, however many bytes it has.
        let lengths = vec![1; tokens.vocab.len()];
        let mut learner =
            Learner::new(words, lengths, tokens.lengths(), options, max_tracked, learning.stop).with_floor(bound);
        learning.merge_all(tokens, &mut learner)?;
    }
    Ok(num_passes)
}

/// What goes through the counts with the merges there are.
struct Pass<'a> {
    encoder: Encoder,
    byte_lengths: Vec<u32>,
    width: usize,
    sorted: &'a SortedCounts<'a>,
    learning: &'a Learning<'a>,
}

/// A thread's own: work space, and pieces that are not handed on yet.
struct Cutter<'a> {
    scratch: Scratch,
    ids: Vec<TokenId>,
    chunk: Chunk,
    chunks: Option<&'a Sender<Chunk>>,
}

impl<'a> Cutter<'a> {
    fn new(chunks: Option<&'a Sender<Chunk>>) -> Self {
        Self { scratch: Scratch::default(), ids: Vec::new(), chunk: Chunk::default(), chunks }
    }
}

/// Pieces one after another, and the bytes and the count of each.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    pieces: Vec<(usize, u64)>,
}

impl<'a> Pass<'a> {
    fn new(tokens: &Tokens, sorted: &'a SortedCounts<'a>, learning: &'a Learning<'a>) -> Self {
        let bytes = (0..=255).zip(tokens.id_of_byte).filter(|&(_, id)| id != TokenId::MAX);
        let merges = tokens.merges.as_slice().iter().map(|merge| (merge.left, merge.right, merge.produced));
        let encoder = Encoder::new(bytes, merges, None);
        Self { encoder, byte_lengths: tokens.lengths(), width: width_of(tokens.vocab.len()), sorted, learning }
    }

    fn count_pairs(&self, memory: Memory) -> Result<Sketch> {
        let sketch = Sketch::new(memory.sketch_bytes());
        let Learning { options, stop, .. } = *self.learning;
        self.sorted.scan(
            options.num_threads,
            stop,
            || Cutter::new(None),
            |cutter, pretoken, count| {
                self.encode(cutter, pretoken);
                for pair in cutter.ids.windows(2) {
                    if self.is_short_enough(pair[0], pair[1]) {
                        sketch.add(pair[0], pair[1], count);
                    }
                }
                Ok(())
            },
        )?;
        Ok(sketch)
    }

    /// Fills `pieces`: other threads cut, this one adds up.
    fn collect<'b>(&self, mut pieces: Pieces<'b>, sketch: &'b Sketch) -> Result<Pieces<'b>> {
        let Learning { options, stop, .. } = *self.learning;
        let threshold = AtomicU64::new(pieces.threshold());
        thread::scope(|scope| {
            let (chunks, to_add) = bounded::<Chunk>(2 * options.num_threads);
            let threshold = &threshold;
            let scanning = scope.spawn(move || {
                let cutters = self.sorted.scan(
                    options.num_threads,
                    stop,
                    || Cutter::new(Some(&chunks)),
                    |cutter, pretoken, count| {
                        self.encode(cutter, pretoken);
                        let Cutter { ids, chunk, chunks, .. } = cutter;
                        cut(ids, sketch, threshold.load(Ordering::Relaxed), |piece| {
                            let start = chunk.bytes.len();
                            write(piece, self.width, &mut chunk.bytes);
                            chunk.pieces.push((chunk.bytes.len() - start, count));
                        });
                        if chunk.bytes.len() >= CHUNK_BYTES
                            && let Some(chunks) = chunks
                        {
                            chunks.send(std::mem::take(chunk)).map_err(|_| Error::Interrupted)?;
                        }
                        Ok(())
                    },
                )?;
                Ok(cutters.into_iter().map(|cutter| cutter.chunk).collect::<Vec<_>>())
            });
            let mut add = |chunk: Chunk| {
                let mut start = 0;
                for (length, count) in chunk.pieces {
                    pieces.add(&chunk.bytes[start..start + length], count);
                    start += length;
                }
                threshold.store(pieces.threshold(), Ordering::Relaxed);
            };
            for chunk in to_add {
                stop.check()?;
                add(chunk);
            }
            scanning.join().unwrap_or_else(|panic| resume_unwind(panic))?.into_iter().for_each(&mut add);
            Ok(pieces)
        })
    }

    #[inline]
    fn encode(&self, cutter: &mut Cutter<'_>, pretoken: &[u8]) {
        cutter.ids.clear();
        self.encoder.encode_uncached(pretoken, &mut cutter.scratch, &mut cutter.ids);
    }

    fn is_short_enough(&self, left: TokenId, right: TokenId) -> bool {
        let bytes = self.byte_lengths[left as usize] as usize + self.byte_lengths[right as usize] as usize;
        bytes <= self.learning.options.max_merged_bytes()
    }
}
