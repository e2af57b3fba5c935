//! Pretokens that are far longer than any word: what they hold, and what they cost.
//!
//! Where a pattern finds no border, as in base64, in `=====` or in a language without spaces, whole stretches become one pretoken.
//! Each occurs about once, so it takes memory and time, and its merges are of no use elsewhere.

/// A pretoken with more bytes than this is a giant.
const GIANT_BYTES: usize = 256;

/// Bytes of the longest pretoken that are kept, to say where it is.
const SHOWN_BYTES: usize = 64;

/// The giants among the pretokens of a corpus. Does not depend on the order in which they are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Giants {
    /// Bytes of all occurrences of pretokens with more than 256 bytes.
    pub bytes: u64,
    /// Bytes of the longest pretoken.
    pub longest_bytes: u64,
    longest: [u8; SHOWN_BYTES],
}

impl Default for Giants {
    fn default() -> Self {
        Self { bytes: 0, longest_bytes: 0, longest: [0; SHOWN_BYTES] }
    }
}

impl Giants {
    /// Takes in a pretoken that occurs `count` times.
    pub(super) fn add(&mut self, pretoken: &[u8], count: u64) {
        let num_bytes = pretoken.len() as u64;
        if pretoken.len() > GIANT_BYTES {
            self.bytes += num_bytes * count;
        }
        if num_bytes < self.longest_bytes {
            return;
        }
        let shown = pretoken.len().min(SHOWN_BYTES);
        let mut beginning = [0; SHOWN_BYTES];
        beginning[..shown].copy_from_slice(&pretoken[..shown]);
        if num_bytes > self.longest_bytes || beginning < self.longest {
            self.longest_bytes = num_bytes;
            self.longest = beginning;
        }
    }

    /// The beginning of the longest pretoken, the first in the order of bytes among equally long ones; cut between characters.
    pub fn longest_begins(&self) -> String {
        let shown = usize::try_from(self.longest_bytes).unwrap_or(SHOWN_BYTES).min(SHOWN_BYTES);
        // The cut at the end may have gone through a character.
        self.longest[..shown].utf8_chunks().next().map_or_else(String::new, |chunk| chunk.valid().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_told_by_its_beginning_in_whatever_order_they_come() {
        let pretokens = ["é".repeat(400), "z".repeat(800), "a".repeat(256), " the".to_owned()];
        let mut giants = [Giants::default(); 2];
        for (pretoken, count) in pretokens.iter().zip([2, 1, 9, 70]) {
            giants[0].add(pretoken.as_bytes(), count);
        }
        for (pretoken, count) in pretokens.iter().zip([2, 1, 9, 70]).rev() {
            giants[1].add(pretoken.as_bytes(), count);
        }
        assert_eq!(giants[0], giants[1]);
        assert_eq!((giants[0].bytes, giants[0].longest_bytes), (2 * 800 + 800, 800));
        assert_eq!(giants[0].longest_begins(), "z".repeat(64));
        giants[0].add(format!("x{}", "é".repeat(500)).as_bytes(), 1);
        assert_eq!(giants[0].longest_begins(), format!("x{}", "é".repeat(31)));
    }
}
