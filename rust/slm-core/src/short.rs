//! A short pretoken in one number, which one comparison tells apart: what tables of pretokens have as keys.

/// The longest pretoken that fits.
pub(crate) const MAX_BYTES: usize = 15;

/// What of 16 bytes belongs to a pretoken, by its length.
pub(crate) static MASKS: [u128; MAX_BYTES + 1] = {
    let mut masks = [0; MAX_BYTES + 1];
    let mut len = 1;
    while len <= MAX_BYTES {
        masks[len] = (1 << (8 * len)) - 1;
        len += 1;
    }
    masks
};

/// Each length as the word has it.
pub(crate) static LENGTHS: [u128; MAX_BYTES + 1] = {
    let mut lengths = [0; MAX_BYTES + 1];
    let mut len = 1;
    while len <= MAX_BYTES {
        lengths[len] = (len as u128) << 120;
        len += 1;
    }
    lengths
};

/// The pretoken `text[start..end]` of 1 to [`MAX_BYTES`]: its bytes from the low end up, and its length in the highest byte. Never
/// zero, and never with the highest bit.
///
/// # Panics
/// If it is longer.
#[inline]
pub(crate) fn word(text: &[u8], start: usize, end: usize) -> u128 {
    let len = end - start;
    debug_assert!(len > 0, "a pretoken has bytes");
    let bytes = match text[start..].first_chunk::<16>() {
        // Loads past the pretoken and masks what is too much: cheaper than copying a length that varies.
        Some(chunk) => u128::from_le_bytes(*chunk) & MASKS[len],
        None => last_bytes(text, start, end),
    };
    bytes | LENGTHS[len]
}

#[cold]
#[inline(never)]
fn last_bytes(text: &[u8], start: usize, end: usize) -> u128 {
    let mut chunk = [0; 16];
    chunk[..end - start].copy_from_slice(&text[start..end]);
    u128::from_le_bytes(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_inside_a_text_and_at_its_end() {
        let text = b"xx lorem ipsum dolor sit amet";
        for len in 1..=MAX_BYTES {
            assert_eq!(word(text, 3, 3 + len), word(&text[3..3 + len], 0, len));
        }
        assert_eq!(word(b"ab", 0, 2), 2 << 120 | 0x6261);
        assert_ne!(word(b"a", 0, 1), word(b"a\0", 0, 2));
    }
}
