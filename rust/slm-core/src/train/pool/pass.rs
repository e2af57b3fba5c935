//! A pass over the pool: reads entries, makes up for merges, and writes what is left.

use super::Size;
use super::blocks::{Block, Sink, empty_block};
use super::entries::{push_entry, read, take_number, write};
use crate::encode::{LongMerge, PairTable, merge};
use crate::error::Result;
use crate::io::blocks::{Packing, Sealer};
use crate::token::TokenId;

/// What the threads of a pass have in common.
pub(super) struct Pass<'p, 'a> {
    pub width: usize,
    pub written_width: usize,
    pub id_of_byte: &'p [TokenId; 256],
    pub pairs: Option<PairTable>,
    pub sink: Sink<'a>,
}

/// What a thread of a pass has for itself.
pub(super) struct Own<S> {
    pub state: S,
    ids: Vec<TokenId>,
    long: LongMerge,
    /// Entries behind the place of a block's header.
    pub written: Block,
    pub sealer: Sealer,
    pub size: Size,
}

impl<S> Own<S> {
    pub fn new(state: S) -> Self {
        Self {
            state,
            ids: Vec::new(),
            long: LongMerge::default(),
            written: empty_block(),
            sealer: Sealer::new(Packing::Zstd),
            size: Size::default(),
        }
    }
}
impl Pass<'_, '_> {
    #[inline]
    pub fn take_text<S>(
        &self,
        own: &mut Own<S>,
        text: &[u8],
        count: u64,
        each: &impl Fn(&mut S, &[TokenId], u64) -> Result<()>,
    ) -> Result<()> {
        own.ids.clear();
        own.ids.extend(text.iter().map(|&byte| self.id_of_byte[usize::from(byte)]));
        self.take_ids(own, text, count, each)
    }

    /// `text` is what the ids were read from.
    #[inline]
    fn take_ids<S>(
        &self,
        own: &mut Own<S>,
        text: &[u8],
        count: u64,
        each: &impl Fn(&mut S, &[TokenId], u64) -> Result<()>,
    ) -> Result<()> {
        if let Some(pairs) = &self.pairs {
            merge(pairs, &mut own.long, &mut own.ids, 0);
        }
        if own.ids.len() < 2 {
            return Ok(());
        }
        own.size.add(text.len(), own.ids.len());
        each(&mut own.state, &own.ids, count)?;
        if matches!(self.sink, Sink::Nowhere) {
            return Ok(());
        }
        let Own { ids, written, sealer, .. } = own;
        if self.written_width == 0 {
            push_entry(&mut written.entries, count, text.len(), |entries| entries.extend_from_slice(text));
        } else {
            push_entry(&mut written.entries, count, ids.len(), |entries| write(ids, self.written_width, entries));
        }
        written.num_entries += 1;
        if written.entries.len() >= self.sink.block_bytes() {
            self.sink.put(written, sealer)?;
        }
        Ok(())
    }

    pub fn take_block<S>(
        &self,
        own: &mut Own<S>,
        mut entries: &[u8],
        num_entries: u32,
        each: &impl Fn(&mut S, &[TokenId], u64) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..num_entries {
            let count = take_number(&mut entries);
            #[expect(clippy::cast_possible_truncation, reason = "a block is in memory")]
            let length = take_number(&mut entries) as usize;
            let (entry, rest) = entries.split_at(length * self.width.max(1));
            entries = rest;
            if self.width == 0 {
                self.take_text(own, entry, count, each)?;
            } else {
                read(entry, self.width, &mut own.ids);
                self.take_ids(own, entry, count, each)?;
            }
        }
        Ok(())
    }
}
