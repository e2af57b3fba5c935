//! The cache of short pretokens: 2 MiB a thread, never more, two entries to a cache line.
//!
//! Nine tenths of the pretokens of natural text are one token and nearly all are at most four, so an entry holds the pretoken
//! itself and its ids: one line of memory answers, and nothing is chased. The newer entry replaces the older of its line.

use super::{MAX_CACHED_BYTES, TokenId};

/// Lines in a cache: 2 MiB in all, which fits in the second-level cache of current machines.
const NUM_LINES: usize = 1 << 15;

/// Ids that an entry can hold.
const MAX_IDS: usize = 4;

/// Fills the unused ids of an entry.
const UNUSED: TokenId = TokenId::MAX;

/// A pretoken of 1 to 15 bytes in one number: the bytes from the low end up, the length in the highest byte.
pub(super) type Key = u128;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    ids: [TokenId; MAX_IDS],
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([Entry; 2]);

#[derive(Debug)]
pub(super) struct Cache {
    lines: Box<[Line]>,
}

/// The key of `text[start..end]`, at most [`MAX_CACHED_BYTES`] long.
#[inline]
pub(super) fn key(text: &[u8], start: usize, end: usize) -> Key {
    let len = end - start;
    debug_assert!(len <= MAX_CACHED_BYTES);
    let bytes = if let Some(chunk) = text[start..].first_chunk::<16>() {
        // Loads past the pretoken and masks what is too much: cheaper than copying a length that varies.
        u128::from_le_bytes(*chunk) & ((1 << (8 * len)) - 1)
    } else {
        let mut chunk = [0; 16];
        chunk[..len].copy_from_slice(&text[start..end]);
        u128::from_le_bytes(chunk)
    };
    bytes | (len as u128) << 120
}

impl Cache {
    pub(super) fn new() -> Self {
        // A length of 0 is no pretoken, so key 0 marks an empty entry.
        let empty = Entry { key: 0, ids: [UNUSED; MAX_IDS] };
        Self { lines: vec![Line([empty; 2]); NUM_LINES].into_boxed_slice() }
    }

    /// Appends the ids of `key` and says whether it had them.
    #[inline]
    pub(super) fn append(&self, key: Key, ids: &mut Vec<TokenId>) -> bool {
        let [newer, older] = &self.lines[line_of(key)].0;
        let entry = if newer.key == key {
            newer
        } else if older.key == key {
            older
        } else {
            return false;
        };
        // Comparing lanes compiles to a few vector instructions; a loop that ends at the first unused id would branch.
        let count: usize = entry.ids.iter().map(|&id| usize::from(id != UNUSED)).sum();
        ids.reserve(MAX_IDS);
        let len = ids.len();
        // SAFETY: `reserve` made room for MAX_IDS more elements, the source is an array of exactly that many, and the new
        // length covers only elements that are now written (`count <= MAX_IDS`).
        unsafe {
            ids.as_mut_ptr().add(len).cast::<[TokenId; MAX_IDS]>().write_unaligned(entry.ids);
            ids.set_len(len + count);
        }
        true
    }

    /// Keeps the ids of `key` if they fit in an entry.
    pub(super) fn insert(&mut self, key: Key, ids: &[TokenId]) {
        if ids.len() > MAX_IDS {
            return;
        }
        let mut entry = Entry { key, ids: [UNUSED; MAX_IDS] };
        entry.ids[..ids.len()].copy_from_slice(ids);
        let line = &mut self.lines[line_of(key)];
        line.0 = [entry, line.0[0]];
    }
}

/// Folds the 256-bit product of the key's halves with two odd constants; the halves of a 128-bit multiplication mix every bit.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the halves are taken on purpose, and the mask keeps 15 bits
fn line_of(key: Key) -> usize {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let product = u128::from(low ^ 0x9E37_79B9_7F4A_7C15) * u128::from(high ^ 0xC2B2_AE3D_27D4_EB4F);
    ((product >> 64) as u64 ^ product as u64) as usize & (NUM_LINES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_inside_a_text_and_at_its_end() {
        let text = b"xx lorem ipsum dolor sit amet";
        assert_eq!(key(text, 3, 8), key(b"lorem", 0, 5));
        assert_ne!(key(b"a", 0, 1), key(b"a\0", 0, 2));
    }

    #[test]
    fn what_was_put_in_comes_out_and_long_answers_are_not_kept() {
        let mut cache = Cache::new();
        let mut ids = vec![9];
        cache.insert(key(b"ab", 0, 2), &[1, 2, 3]);
        cache.insert(key(b"cd", 0, 2), &[1, 2, 3, 4, 5]);
        assert!(cache.append(key(b"ab", 0, 2), &mut ids));
        assert!(!cache.append(key(b"cd", 0, 2), &mut ids));
        assert_eq!(ids, [9, 1, 2, 3]);
    }
}
