//! The 256 characters that stand for bytes in Hugging Face's byte-level files.
//!
//! Printable Latin-1 bytes stand for themselves; the other 68, in increasing order, are written as U+0100, U+0101, ... So a
//! space is `Ġ` (U+0120) and a line feed is `Ċ` (U+010A). The order of these characters, not that of the bytes, is the order of
//! ids in a trained vocabulary, and so decides ties between merges.

/// The character that stands for `byte`.
///
/// ```
/// assert_eq!(slm_core::byte_chars::char_of_byte(b' '), 'Ġ');
/// assert_eq!(slm_core::byte_chars::char_of_byte(b'a'), 'a');
/// ```
pub const fn char_of_byte(byte: u8) -> char {
    let code_point = match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => byte as u32,
        0x00..=0x20 => 0x100 + byte as u32,
        0x7F..=0xA0 => 0x121 + (byte as u32 - 0x7F),
        0xAD => 0x143,
    };
    match char::from_u32(code_point) {
        Some(mapped) => mapped,
        None => unreachable!(),
    }
}

/// The byte that `mapped` stands for, if it is one of the 256.
pub const fn byte_of_char(mapped: char) -> Option<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "every arm is below 256")]
    match mapped as u32 {
        code_point @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(code_point as u8),
        code_point @ 0x100..=0x120 => Some((code_point - 0x100) as u8),
        code_point @ 0x121..=0x142 => Some((code_point - 0x121 + 0x7F) as u8),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// `token` as the byte-level files write it.
pub fn chars_of_bytes(token: &[u8]) -> String {
    token.iter().map(|&byte| char_of_byte(byte)).collect()
}

/// The bytes that `text` stands for, or `None` if a character of it stands for none.
pub fn bytes_of_chars(text: &str) -> Option<Vec<u8>> {
    text.chars().map(byte_of_char).collect()
}

/// All bytes in the order of their characters, which is the order of the alphabet's ids.
pub fn bytes_in_char_order() -> [u8; 256] {
    let mut bytes: [u8; 256] = std::array::from_fn(|byte| u8::try_from(byte).unwrap_or(u8::MAX));
    bytes.sort_unstable_by_key(|&byte| char_of_byte(byte));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_from_its_character() {
        for byte in 0..=255 {
            assert_eq!(byte_of_char(char_of_byte(byte)), Some(byte));
        }
        let chars = (0..=0x10_FFFF).filter_map(char::from_u32).filter(|&c| byte_of_char(c).is_some());
        assert_eq!(chars.count(), 256);
    }

    #[test]
    fn the_alphabet_begins_with_the_exclamation_mark_and_ends_with_the_soft_hyphen() {
        let bytes = bytes_in_char_order();
        assert_eq!((bytes[0], bytes[93], bytes[94], bytes[188], bytes[255]), (b'!', b'~', 0xA1, 0x00, 0xAD));
    }
}
