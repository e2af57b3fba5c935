//! The tokens of single characters, so that text beyond ASCII is merged from characters instead of bytes.
//!
//! That this gives the same ids rests on two conditions. Every merge comes after those that make its two sides ([`super::giant`]
//! asks for the same), so of two neighbouring characters nothing merges before both are what they become alone; and no merge
//! joins a part of one character with its neighbour. Few vocabularies keep the second condition for all characters, and hardly
//! any text meets what breaks it. So the merges that do are known by what meets in them, and text with two neighbours that
//! could is merged from its bytes.

mod borders;
mod known;

pub(super) use known::{AS_LEFT_BITS, AS_RIGHT_BITS, SEVERAL, id_of};

use super::TokenId;
use super::giant::Lengths;
use super::joins::Joins;
use borders::{Borders, Bytes, Shape, spelling};
use known::{Character, Several};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Code points that the table has room for: those of at most three bytes.
const NUM_CODES: usize = 1 << 16;

/// The characters of a vocabulary.
#[derive(Debug)]
pub(super) struct Characters(Option<Table>);

/// What is known of all characters that the vocabulary has something to say of.
#[derive(Debug)]
pub(super) struct Table {
    /// By code point; zero before the character was met. Whoever meets it first looks it up, and all would find the same.
    characters: Box<[AtomicU64; NUM_CODES]>,
    /// By code point, what a character becomes by itself, if that was asked for and is at most three tokens; as [`Several`] has them.
    several: Box<[AtomicU64; NUM_CODES]>,
    borders: Borders,
    joins: Joins,
}

impl Table {
    fn new(borders: Borders, neighbours: &Neighbours) -> Self {
        Self { characters: zeros(), several: zeros(), borders, joins: Joins::new(neighbours) }
    }

    /// What is known of a character, as [`Character::to_bits`] has it: zero before it was met.
    #[inline]
    pub(super) fn known(&self, code: usize) -> u64 {
        self.characters[code % NUM_CODES].load(Ordering::Relaxed)
    }

    /// Finds out what there is to know of a character that was not met before, and gives it as [`Table::known`] does then; zero, if `char` is
    /// none of at most three bytes. `encode` appends the tokens that it becomes by itself.
    #[cold]
    pub(super) fn meet(&self, char: &[u8], encode: impl FnMut(&[u8], &mut Vec<TokenId>)) -> u64 {
        let Some((code, [])) = split_char(char) else { return 0 };
        let bits = self.borders.look_up(char, encode).to_bits();
        self.characters[code].store(bits, Ordering::Relaxed);
        bits
    }

    /// Which characters merges may come to join.
    #[inline]
    pub(super) fn joins(&self) -> &Joins {
        &self.joins
    }

    /// Whether a part of one of these characters could merge with the other.
    #[inline]
    pub(super) fn can_merge(&self, left: &[u8], right: &[u8]) -> bool {
        self.borders.can_merge(left, right)
    }
}

/// Zeros, behind which there are no pages before they are written to.
fn zeros() -> Box<[AtomicU64; NUM_CODES]> {
    const { assert!(align_of::<AtomicU64>() == align_of::<u64>()) };
    let zeros: Box<[u64; NUM_CODES]> = vec![0; NUM_CODES].into_boxed_slice().try_into().expect("there are as many");
    // SAFETY: the one who calls owns the box, and atomic numbers have the size, the alignment and the bits of others.
    unsafe { Box::from_raw(Box::into_raw(zeros).cast()) }
}

/// Tokens of characters of three bytes that stand side by side in some token.
pub(super) type Neighbours = FxHashSet<(TokenId, TokenId)>;

impl Characters {
    /// `merges` come in rank order as (left, right, produced). With the characters come all pairs of wide ones that a merge can join,
    /// each of them as a whole character or at the end of a longer token.
    pub(super) fn new(
        byte_ids: &[TokenId; 256],
        merges: &[(TokenId, TokenId, TokenId)],
        lengths: &Lengths,
    ) -> (Self, Neighbours) {
        Self::of_merges(byte_ids, merges, lengths).unwrap_or((Self(None), Neighbours::default()))
    }

    fn of_merges(
        byte_ids: &[TokenId; 256],
        merges: &[(TokenId, TokenId, TokenId)],
        lengths: &Lengths,
    ) -> Option<(Self, Neighbours)> {
        if !lengths.is_known() {
            return None;
        }
        let mut shapes: FxHashMap<TokenId, Shape> =
            (0..=u8::MAX).zip(byte_ids).map(|(byte, &id)| (id, Shape::of_byte(byte))).collect();
        let mut borders = Borders::default();
        let mut wide: FxHashMap<Bytes, TokenId> = FxHashMap::default();
        let mut neighbours = Neighbours::default();
        let mut has_characters = false;
        for &(left, right, produced) in merges {
            let (left, right) = (shapes[&left], shapes[&right]);
            borders.add(left, right);
            let shape = left.then(right);
            if shapes.insert(produced, shape).is_some_and(|before| before != shape) {
                return None;
            }
            match (left, right, shape) {
                (Shape::Prefix { .. }, _, Shape::Whole { first, .. }) => {
                    has_characters = true;
                    if spelling(&first).len() == 3 && wide.insert(first, produced).is_some_and(|id| id != produced) {
                        return None;
                    }
                }
                // A token has the borders of both its sides, and this one.
                (Shape::Whole { last, .. }, Shape::Whole { first, .. }, _) => {
                    neighbours.extend(wide.get(&last).copied().zip(wide.get(&first).copied()));
                }
                _ => {}
            }
        }
        let table = has_characters.then(|| Table::new(borders, &neighbours));
        Some((Self(table), neighbours))
    }

    /// What is known of the characters, if anything is.
    #[inline]
    pub(super) fn table(&self) -> Option<&Table> {
        self.0.as_ref()
    }

    /// Appends the tokens of one character, which `encode` appends if they are not known.
    #[inline]
    pub(super) fn append_one(
        &self,
        char: &[u8],
        ids: &mut Vec<TokenId>,
        encode: impl FnOnce(&[u8], &mut Vec<TokenId>),
    ) {
        let several = self.0.as_ref().zip(split_char(char)).map(|(table, (code, _))| &table.several[code]);
        if let Some(known @ 1..) = several.map(|several| several.load(Ordering::Relaxed)) {
            return Several::unpack(known, ids);
        }
        let first = ids.len();
        encode(char, ids);
        if let Some(several) = several {
            several.store(Several::pack(&ids[first..]), Ordering::Relaxed);
        }
    }

    /// Appends the tokens of the characters of `text` to `ids` and tells whether merging may start from them. If not, `ids` is as
    /// it was. `encode` appends the tokens that a character becomes by itself.
    #[inline]
    pub(super) fn append(
        &self,
        text: &[u8],
        ids: &mut Vec<TokenId>,
        mut encode: impl FnMut(&[u8], &mut Vec<TokenId>),
    ) -> bool {
        let Some(table) = &self.0 else { return false };
        let first = ids.len();
        ids.reserve(text.len());
        let (mut rest, mut before, mut as_left) = (text, &text[..0], 0);
        while let Some((code, behind)) = split_char(rest) {
            let char = &rest[..rest.len() - behind.len()];
            let known = match table.known(code) {
                0 => table.meet(char, &mut encode),
                known => known,
            };
            let character = Character::from_bits(known);
            if as_left & character.as_right != 0 && table.can_merge(before, char) {
                break;
            }
            match character.id {
                Some(id) => ids.push(id),
                None => encode(char, ids),
            }
            (rest, before, as_left) = (behind, char, character.as_left);
        }
        if !rest.is_empty() {
            ids.truncate(first);
        }
        rest.is_empty()
    }
}

/// The code point of the first character and what is behind it; `None` at the end, and before what is not a character or takes
/// four bytes.
#[inline]
fn split_char(text: &[u8]) -> Option<(usize, &[u8])> {
    let low = |byte: u8| (byte & 0xC0 == 0x80).then_some(usize::from(byte & 0x3F));
    match *text {
        [byte @ ..0x80, ref rest @ ..] => Some((usize::from(byte), rest)),
        [lead @ 0xE0..0xF0, second, third, ref rest @ ..] => {
            let code = usize::from(lead & 0xF) << 12 | low(second)? << 6 | low(third)?;
            // Neither an overlong form nor half of a character in UTF-16.
            matches!(code, 0x800..0xD800 | 0xE000..).then_some((code, rest))
        }
        [lead @ 0xC2..0xE0, second, ref rest @ ..] => Some((usize::from(lead & 0x1F) << 6 | low(second)?, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{encode, encode_naively, encoder};
    use super::super::{Encoder, Scratch};
    use super::*;
    use proptest::prelude::*;

    /// Characters of one, two and three bytes, several with bytes in common.
    const CHARS: [&str; 7] = ["a", " ", "\u{e9}", "\u{c9}", "\u{4e2d}", "\u{4e3d}", "\u{56e9}"];

    fn byte(text: &str, at: usize) -> TokenId {
        text.as_bytes()[at].into()
    }

    /// Merges that make a token of each three-byte character of the list, from the left: 256 and 257 are the first, and so on.
    fn merges_of(chars: &[&str]) -> Vec<(TokenId, TokenId)> {
        let merges = (256..).step_by(2).zip(chars);
        merges.flat_map(|(id, char)| [(byte(char, 0), byte(char, 1)), (id, byte(char, 2))]).collect()
    }

    fn append(encoder: &Encoder, text: &[u8], ids: &mut Vec<TokenId>) -> bool {
        encoder.append_characters(text, ids)
    }

    fn starts_from_characters(encoder: &Encoder, text: &str) -> bool {
        append(encoder, text.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn text_of_whole_characters_starts_from_them() {
        let encoder = encoder(&merges_of(&["\u{4e2d}", "\u{56e9}"]));
        let mut ids = Vec::new();
        for _ in 0..2 {
            ids.clear();
            assert!(append(&encoder, "\u{4e2d}a\u{56e9}\u{4e3d}".as_bytes(), &mut ids));
            assert_eq!(ids, [257, 97, 259, 256, 0xBD]);
        }
    }

    #[test]
    fn text_with_what_is_no_character_or_takes_four_bytes_does_not() {
        let encoder = encoder(&merges_of(&["\u{4e2d}"]));
        for bytes in [&b"\xE4\xB8"[..], b"a\xAD", b"\xE0\x81\xA1", b"\xED\xA0\x80", "\u{4e2d}\u{1f642}".as_bytes()] {
            let mut ids = vec![7];
            assert!(!append(&encoder, bytes, &mut ids), "{bytes:?}");
            assert_eq!(ids, [7]);
        }
    }

    #[test]
    fn neighbours_that_a_merge_takes_apart_are_merged_from_bytes() {
        let mut merges = merges_of(&["\u{4e2d}", "\u{56e9}"]);
        // The last byte of the second and the first byte of either.
        merges.push((byte("\u{56e9}", 2), byte("\u{4e2d}", 0)));
        let encoder = encoder(&merges);
        assert!(starts_from_characters(&encoder, "\u{4e2d}\u{56e9}\u{56e9}"));
        assert!(!starts_from_characters(&encoder, "\u{56e9}\u{4e2d}"));
    }

    #[test]
    fn a_token_that_its_bytes_alone_do_not_become_is_not_taken() {
        // The last two bytes merge first, so the character's own merge never comes.
        let mut merges = vec![(byte("\u{4e2d}", 1), byte("\u{4e2d}", 2))];
        merges.extend([(byte("\u{4e2d}", 0), byte("\u{4e2d}", 1)), (257, byte("\u{4e2d}", 2))]);
        let encoder = encoder(&merges);
        let mut ids = Vec::new();
        assert!(append(&encoder, "\u{4e2d}".as_bytes(), &mut ids));
        assert_eq!(ids, [byte("\u{4e2d}", 0), 256]);
        assert_eq!(encode(&encoder, &mut Scratch::default(), "\u{4e2d}".as_bytes()), ids);
    }

    proptest! {
        #[test]
        fn ids_are_the_naive_ones(
            // Below 10 the first number asks for the next merge of a character, else for any two symbols known by then.
            rules in proptest::collection::vec((0_usize..30, 0_usize..30), 0..40),
            text in proptest::collection::vec(0..CHARS.len(), 1..40),
        ) {
            let mut known: Vec<u32> = CHARS.concat().bytes().map(u32::from).collect();
            let mut made = [None; CHARS.len()];
            let mut lengths = [1; CHARS.len()];
            let mut merges = Vec::new();
            for (i, j) in rules {
                let new = 256 + u32::try_from(merges.len()).unwrap();
                let char = i % CHARS.len();
                if i < 10 && lengths[char] < CHARS[char].len() {
                    merges.push((made[char].unwrap_or(byte(CHARS[char], 0)), byte(CHARS[char], lengths[char])));
                    (made[char], lengths[char]) = (Some(new), lengths[char] + 1);
                } else {
                    merges.push((known[i % known.len()], known[j % known.len()]));
                }
                known.push(new);
            }
            let text: String = text.into_iter().map(|idx| CHARS[idx]).collect();
            let encoder = encoder(&merges);
            prop_assert_eq!(encode(&encoder, &mut Scratch::default(), text.as_bytes()), encode_naively(&merges, text.as_bytes()));
        }
    }
}
