//! The tokens of single characters, so that text beyond ASCII is merged from characters instead of bytes.
//!
//! That this gives the same ids rests on two conditions. Every merge comes after those that make its two sides ([`super::giant`]
//! asks for the same), so of two neighbouring characters nothing merges before both are what they become alone; and no merge
//! joins a part of one character with its neighbour. Few vocabularies keep the second condition for all characters, and hardly
//! any text meets what breaks it. So the merges that do are known by what meets in them, and text with two neighbours that
//! could is merged from its bytes.

use super::TokenId;
use super::giant::Lengths;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Code points that the table has room for: those of at most three bytes.
pub(super) const NUM_CODES: usize = 1 << 16;

/// Merges across the border of characters, several of them to a bit.
type Crossings = u16;

/// What is known of a character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Character {
    /// Its token, if it is one.
    id: Option<TokenId>,
    /// The crossings it could be left of.
    as_left: Crossings,
    as_right: Crossings,
}

impl Character {
    /// Stands for the id of a character that is several tokens.
    const SEVERAL: u32 = u32::MAX;

    /// In one number, which is not zero: the crossings it could be right of, left of, and one more than its id.
    fn to_bits(self) -> u64 {
        let id_plus_one = self.id.map_or(Self::SEVERAL, |id| id + 1);
        u64::from(self.as_right) << 48 | u64::from(self.as_left) << 32 | u64::from(id_plus_one)
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the parts of the number
    fn from_bits(bits: u64) -> Option<Self> {
        let id_plus_one = bits as u32;
        let id = (id_plus_one != Self::SEVERAL).then(|| id_plus_one.wrapping_sub(1));
        (bits != 0).then_some(Self { id, as_left: (bits >> 32) as Crossings, as_right: (bits >> 48) as Crossings })
    }
}

/// The characters of a vocabulary.
#[derive(Debug)]
pub(super) struct Characters(Option<Table>);

#[derive(Debug)]
struct Table {
    /// By code point; zero before the character was met. Whoever meets it first looks it up, and all would find the same.
    characters: Box<[AtomicU64; NUM_CODES]>,
    borders: Borders,
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
        let table = || {
            let characters: Box<[AtomicU64]> = (0..NUM_CODES).map(|_| AtomicU64::new(0)).collect();
            Table { characters: characters.try_into().expect("there are as many"), borders }
        };
        Some((Self(has_characters.then(table)), neighbours))
    }

    /// What is known of the characters, by code point, as [`Character::to_bits`] has it.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn table(&self) -> Option<&[AtomicU64; NUM_CODES]> {
        self.0.as_ref().map(|table| &*table.characters)
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
        let Some(Table { characters, borders }) = &self.0 else { return false };
        let first = ids.len();
        ids.reserve(text.len());
        let (mut rest, mut before, mut as_left) = (text, &text[..0], 0);
        while let Some((code, behind)) = split_char(rest) {
            let char = &rest[..rest.len() - behind.len()];
            let known = Character::from_bits(characters[code].load(Ordering::Relaxed));
            let character = known.unwrap_or_else(|| {
                let looked_up = borders.look_up(char, &mut encode);
                characters[code].store(looked_up.to_bits(), Ordering::Relaxed);
                looked_up
            });
            if as_left & character.as_right != 0 && borders.can_merge(before, char) {
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

/// At most four bytes, and zeros behind them.
type Bytes = [u8; 4];

fn spelling(bytes: &Bytes) -> &[u8] {
    let len = bytes[1..].iter().position(|&byte| byte == 0).map_or(bytes.len(), |zeros| 1 + zeros);
    &bytes[..len]
}

/// What a token is to the characters that it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One or several whole characters.
    Whole { first: Bytes, last: Bytes },
    /// The first bytes of a character, and how many it lacks.
    Prefix { bytes: Bytes, lacks: usize },
    /// Bytes of a character without the first.
    Suffix(Bytes),
    /// Anything else.
    Other,
}

impl Shape {
    fn of_byte(byte: u8) -> Self {
        let bytes = [byte, 0, 0, 0];
        match byte {
            ..0x80 => Self::Whole { first: bytes, last: bytes },
            0x80..0xC0 => Self::Suffix(bytes),
            0xC0..0xE0 => Self::Prefix { bytes, lacks: 1 },
            0xE0..0xF0 => Self::Prefix { bytes, lacks: 2 },
            0xF0.. => Self::Prefix { bytes, lacks: 3 },
        }
    }

    /// The shape of this token and the `next`.
    fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::Whole { first, .. }, Self::Whole { last, .. }) => Self::Whole { first, last },
            (Self::Suffix(bytes), Self::Suffix(more)) => joined(bytes, more).map_or(Self::Other, Self::Suffix),
            (Self::Prefix { bytes, lacks }, Self::Suffix(more)) => {
                match (joined(bytes, more), lacks.checked_sub(spelling(&more).len())) {
                    (Some(char), Some(0)) if std::str::from_utf8(spelling(&char)).is_ok() => {
                        Self::Whole { first: char, last: char }
                    }
                    (Some(bytes), Some(lacks @ 1..)) => Self::Prefix { bytes, lacks },
                    _ => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }
}

/// Both one after the other, if that is at most four bytes.
fn joined(bytes: Bytes, more: Bytes) -> Option<Bytes> {
    let (bytes, more) = (spelling(&bytes), spelling(&more));
    let mut joined = Bytes::default();
    joined.get_mut(..bytes.len() + more.len())?.copy_from_slice(&[bytes, more].concat());
    Some(joined)
}

/// What meets at the borders of characters in the merges that cross one: the end of a character on the left, the beginning of
/// one on the right, and at least one of the two is not the whole character.
#[derive(Debug, Default)]
struct Borders {
    meeting: FxHashSet<(Bytes, Bytes)>,
    left: FxHashMap<Bytes, Crossings>,
    right: FxHashMap<Bytes, Crossings>,
}

impl Borders {
    fn add(&mut self, left: Shape, right: Shape) {
        let (end, beginning) = match (left, right) {
            (Shape::Whole { last, .. }, Shape::Prefix { bytes, .. }) => (last, bytes),
            (Shape::Suffix(bytes), Shape::Whole { first, .. }) => (bytes, first),
            (Shape::Suffix(end), Shape::Prefix { bytes, .. }) => (end, bytes),
            // Two whole characters, two parts of one, what valid text has not, or what only comes of another crossing.
            _ => return,
        };
        if self.meeting.insert((end, beginning)) {
            let crossing = 1 << (self.meeting.len() % Crossings::BITS as usize);
            *self.left.entry(end).or_default() |= crossing;
            *self.right.entry(beginning).or_default() |= crossing;
        }
    }

    #[cold]
    fn look_up(&self, char: &[u8], encode: &mut impl FnMut(&[u8], &mut Vec<TokenId>)) -> Character {
        let mut ids = Vec::new();
        encode(char, &mut ids);
        let id = if let [id] = ids[..] { Some(id) } else { None };
        let any = |all, some: &Crossings| all | some;
        Character {
            id,
            as_left: ends(char).filter_map(|end| self.left.get(&end)).fold(0, any),
            as_right: beginnings(char).filter_map(|beginning| self.right.get(&beginning)).fold(0, any),
        }
    }

    /// Whether a part of one of these characters could merge with the other.
    #[cold]
    fn can_merge(&self, left: &[u8], right: &[u8]) -> bool {
        ends(left).any(|end| beginnings(right).any(|beginning| self.meeting.contains(&(end, beginning))))
    }
}

fn ends(char: &[u8]) -> impl Iterator<Item = Bytes> {
    (0..char.len()).map(|start| padded(&char[start..]))
}

fn beginnings(char: &[u8]) -> impl Iterator<Item = Bytes> {
    (1..=char.len()).map(|end| padded(&char[..end]))
}

fn padded(bytes: &[u8]) -> Bytes {
    let mut padded = Bytes::default();
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
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
        encoder.append_characters(text, &mut Scratch::default(), ids)
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
