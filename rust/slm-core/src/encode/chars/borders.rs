//! The merges across the borders of characters that take a part of one.

use super::super::TokenId;
use super::known::Character;
use rustc_hash::{FxHashMap, FxHashSet};

/// Merges across the border of characters, several of them to a bit.
pub(super) type Crossings = u16;

/// At most four bytes, and zeros behind them.
pub(super) type Bytes = [u8; 4];

pub(super) fn spelling(bytes: &Bytes) -> &[u8] {
    let len = bytes[1..].iter().position(|&byte| byte == 0).map_or(bytes.len(), |zeros| 1 + zeros);
    &bytes[..len]
}

/// What a token is to the characters that it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
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
    pub(super) fn of_byte(byte: u8) -> Self {
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
    pub(super) fn then(self, next: Self) -> Self {
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
pub(super) struct Borders {
    /// Each as a [`number`], the end in the upper half.
    meeting: FxHashSet<u64>,
    left: FxHashMap<u32, Crossings>,
    right: FxHashMap<u32, Crossings>,
}

impl Borders {
    pub(super) fn add(&mut self, left: Shape, right: Shape) {
        let (end, beginning) = match (left, right) {
            (Shape::Whole { last, .. }, Shape::Prefix { bytes, .. }) => (last, bytes),
            (Shape::Suffix(bytes), Shape::Whole { first, .. }) => (bytes, first),
            (Shape::Suffix(end), Shape::Prefix { bytes, .. }) => (end, bytes),
            // Two whole characters, two parts of one, what valid text has not, or what only comes of another crossing.
            _ => return,
        };
        let [end, beginning] = [end, beginning].map(u32::from_le_bytes);
        if self.meeting.insert(both(end, beginning)) {
            let crossing = 1 << (self.meeting.len() % Crossings::BITS as usize);
            *self.left.entry(end).or_default() |= crossing;
            *self.right.entry(beginning).or_default() |= crossing;
        }
    }

    #[cold]
    pub(super) fn look_up(&self, char: &[u8], mut encode: impl FnMut(&[u8], &mut Vec<TokenId>)) -> Character {
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
    #[inline(never)]
    pub(super) fn can_merge(&self, left: &[u8], right: &[u8]) -> bool {
        ends(left).any(|end| beginnings(right).any(|beginning| self.meeting.contains(&both(end, beginning))))
    }
}

#[inline]
fn both(end: u32, beginning: u32) -> u64 {
    u64::from(end) << 32 | u64::from(beginning)
}

/// The bytes of a character, at most four, as a number; the first is the lowest.
#[inline]
fn number(char: &[u8]) -> u32 {
    char.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// The numbers of the bytes from each on.
#[inline]
fn ends(char: &[u8]) -> impl Iterator<Item = u32> {
    let all = number(char);
    (0..char.len()).map(move |start| all >> (8 * start))
}

/// The numbers of the bytes up to each.
#[inline]
fn beginnings(char: &[u8]) -> impl Iterator<Item = u32> {
    let all = number(char);
    (1..=char.len()).map(move |end| all & u32::MAX >> (32 - 8 * end))
}
