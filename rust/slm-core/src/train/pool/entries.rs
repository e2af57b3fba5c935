//! A pretoken as bytes: its count, and its text or its tokens.

use crate::count::push_number;
use crate::token::TokenId;

#[inline]
pub(super) fn push_entry(entries: &mut Vec<u8>, count: u64, length: usize, push: impl FnOnce(&mut Vec<u8>)) {
    push_number(entries, count);
    push_number(entries, length as u64);
    push(entries);
}

#[inline]
pub(super) fn take_number(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    number
}

/// Bytes in which each of so many ids can be written.
pub(in crate::train) fn width_of(num_ids: usize) -> usize {
    match num_ids {
        0..=0x1_0000 => 2,
        0x1_0001..=0x100_0000 => 3,
        _ => 4,
    }
}

/// Appends ids to `bytes`, each in `width` of them.
#[inline]
pub(in crate::train) fn write(ids: &[TokenId], width: usize, bytes: &mut Vec<u8>) {
    if width == 2 {
        #[expect(clippy::cast_possible_truncation, reason = "so the width says")]
        bytes.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes()));
    } else {
        for id in ids {
            bytes.extend_from_slice(&id.to_le_bytes()[..width]);
        }
    }
}

/// Reads what [`write`] wrote, in place of what is in `ids`.
#[inline]
pub(in crate::train) fn read(bytes: &[u8], width: usize, ids: &mut Vec<TokenId>) {
    ids.clear();
    if width == 2 {
        ids.extend(bytes.as_chunks::<2>().0.iter().map(|&bytes| TokenId::from(u16::from_le_bytes(bytes))));
    } else {
        ids.extend(bytes.chunks_exact(width).map(|bytes| {
            let mut id = [0; 4];
            id[..width].copy_from_slice(bytes);
            TokenId::from_le_bytes(id)
        }));
    }
}
