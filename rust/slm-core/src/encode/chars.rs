//! The tokens of whole characters, so that text beyond ASCII is merged from characters instead of bytes.
//!
//! That this gives the same ids rests on two conditions. Every merge comes after those that make its two sides ([`super::giant`]
//! asks for the same), so of two neighbouring characters nothing merges before both are what they become alone; and no merge
//! joins a part of one character with its neighbour. Few vocabularies keep the second condition for all characters, and hardly
//! any text meets what breaks it. So each character knows in which of the merges that break it it could take part, and on which
//! side, and text where two neighbours could do so together is merged from its bytes.

use super::TokenId;
use super::giant::Lengths;
use rustc_hash::FxHashMap;

/// Code points that the table has room for: those of at most three bytes.
const NUM_CODES: usize = 1 << 16;

/// Merges across the border of characters, told apart by a bit each, or several by one.
type Crossings = u16;

/// What is known of a character.
#[derive(Clone, Copy, Debug, Default)]
struct Character {
    /// Its token and one more, so that a table of zeros has no characters.
    id_plus_one: TokenId,
    /// The crossings it may be left of.
    as_left: Crossings,
    as_right: Crossings,
}

/// The characters of a vocabulary that are a token.
#[derive(Debug)]
pub(super) struct Characters(Option<Box<[Character; NUM_CODES]>>);

impl Characters {
    /// `merges` come in rank order as (left, right, produced), `encode` gives the tokens that bytes become by themselves.
    pub(super) fn new(
        byte_ids: &[TokenId; 256],
        merges: &[(TokenId, TokenId, TokenId)],
        lengths: &Lengths,
        mut encode: impl FnMut(&[u8]) -> Vec<TokenId>,
    ) -> Self {
        if !lengths.is_known() {
            return Self(None);
        }
        let mut shapes: FxHashMap<TokenId, Shape> =
            (0..=u8::MAX).zip(byte_ids).map(|(byte, &id)| (id, Shape::of_byte(byte))).collect();
        let mut borders = Borders::default();
        let mut characters = Vec::new();
        for (number, &(left, right, produced)) in merges.iter().enumerate() {
            let (left, right) = (shapes[&left], shapes[&right]);
            borders.add(left, right, 1 << (number % Crossings::BITS as usize));
            let shape = left.then(right);
            if shapes.insert(produced, shape).is_some_and(|before| before != shape) {
                return Self(None);
            }
            if let (Shape::Prefix { .. }, Shape::Whole { first, .. }) = (left, shape) {
                characters.push((first, produced));
            }
        }
        if characters.is_empty() {
            return Self(None);
        }
        characters.extend((0..0x80).map(|byte| (Bytes::from([byte, 0, 0, 0]), byte_ids[usize::from(byte)])));
        let mut table = vec![Character::default(); NUM_CODES];
        for (bytes, id) in characters {
            let spelling = spelling(&bytes);
            if let Some((code, [])) = split_char(spelling)
                && encode(spelling) == [id]
            {
                table[code] = Character {
                    id_plus_one: id + 1,
                    as_left: borders.left_of(spelling),
                    as_right: borders.right_of(spelling),
                };
            }
        }
        Self(table.into_boxed_slice().try_into().ok())
    }

    /// Appends the tokens of the characters of `text` to `ids` and tells whether merging may start from them. If not, `ids` is as
    /// it was.
    #[inline]
    pub(super) fn append(&self, text: &[u8], ids: &mut Vec<TokenId>) -> bool {
        let Some(table) = &self.0 else { return false };
        let first = ids.len();
        ids.reserve(text.len());
        let (mut rest, mut before) = (text, 0);
        while let Some((code, behind)) = split_char(rest) {
            let Character { id_plus_one, as_left, as_right } = table[code];
            if id_plus_one == 0 || before & as_right != 0 {
                break;
            }
            ids.push(id_plus_one - 1);
            (rest, before) = (behind, as_left);
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
#[derive(Default)]
struct Borders {
    left: FxHashMap<Bytes, Crossings>,
    right: FxHashMap<Bytes, Crossings>,
}

impl Borders {
    fn add(&mut self, left: Shape, right: Shape, crossing: Crossings) {
        let (end, beginning) = match (left, right) {
            (Shape::Whole { last, .. }, Shape::Prefix { bytes, .. }) => (last, bytes),
            (Shape::Suffix(bytes), Shape::Whole { first, .. }) => (bytes, first),
            (Shape::Suffix(end), Shape::Prefix { bytes, .. }) => (end, bytes),
            // Two whole characters, two parts of one, what valid text has not, or what only comes of another crossing.
            _ => return,
        };
        *self.left.entry(end).or_default() |= crossing;
        *self.right.entry(beginning).or_default() |= crossing;
    }

    /// The crossings that a character may be left of.
    fn left_of(&self, char: &[u8]) -> Crossings {
        (0..char.len()).filter_map(|start| self.left.get(&padded(&char[start..]))).fold(0, |all, some| all | some)
    }

    fn right_of(&self, char: &[u8]) -> Crossings {
        (1..=char.len()).filter_map(|end| self.right.get(&padded(&char[..end]))).fold(0, |all, some| all | some)
    }
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
            (code >= 0x800).then_some((code, rest))
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

    fn starts_from_characters(encoder: &Encoder, text: &str) -> bool {
        encoder.characters.append(text.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn text_of_whole_characters_starts_from_them() {
        let encoder = encoder(&merges_of(&["\u{4e2d}", "\u{56e9}"]));
        let mut ids = Vec::new();
        assert!(encoder.characters.append("\u{4e2d}a\u{56e9}".as_bytes(), &mut ids));
        assert_eq!(ids, [257, 97, 259]);
    }

    #[test]
    fn text_with_what_is_no_token_or_no_character_does_not() {
        let encoder = encoder(&merges_of(&["\u{4e2d}"]));
        for bytes in
            ["\u{4e2d}\u{4e3d}".as_bytes(), b"\xE4\xB8", b"a\xAD", b"\xE0\x81\xA1", "\u{4e2d}\u{1f642}".as_bytes()]
        {
            let mut ids = vec![7];
            assert!(!encoder.characters.append(bytes, &mut ids), "{bytes:?}");
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
    fn a_token_that_bytes_alone_do_not_become_is_none() {
        // The last two bytes merge first, so the character's own merge never comes.
        let mut merges = vec![(byte("\u{4e2d}", 1), byte("\u{4e2d}", 2))];
        merges.extend([(byte("\u{4e2d}", 0), byte("\u{4e2d}", 1)), (257, byte("\u{4e2d}", 2))]);
        let encoder = encoder(&merges);
        assert!(!starts_from_characters(&encoder, "\u{4e2d}"));
        assert_eq!(encode(&encoder, &mut Scratch::default(), "\u{4e2d}".as_bytes()), [byte("\u{4e2d}", 0), 256]);
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
