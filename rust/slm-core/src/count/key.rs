//! A short pretoken as two words, which one comparison tells apart and one multiplication hashes.

/// The longest pretoken that fits into a slot.
pub(super) const SHORT_BYTES: usize = 15;

/// Masks that keep the first bytes of a little-endian word of 16.
const FIRST_BYTES: [u128; SHORT_BYTES + 1] = {
    let mut masks = [0; SHORT_BYTES + 1];
    let mut length = 0;
    while length <= SHORT_BYTES {
        masks[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    masks
};

/// A short pretoken in two words: bytes from the lowest up, and the length in the highest byte. Zero is an empty slot.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Key {
    low: u64,
    high: u64,
}

impl Key {
    /// The pretoken at `text[start..end]`, of which there are 1 to 15 bytes.
    #[inline]
    pub fn new(text: &[u8], start: usize, end: usize) -> Self {
        let length = end - start;
        let mut bytes = [0; 16];
        if let Some(following) = text.get(start..start + 16) {
            bytes.copy_from_slice(following);
        } else {
            bytes[..length].copy_from_slice(&text[start..end]);
        }
        let word = u128::from_le_bytes(bytes) & FIRST_BYTES[length] | (length as u128) << 120;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { low: word as u64, high: (word >> 64) as u64 }
    }

    /// Multiplies the halves into 128 bits and folds them, as wyhash does. The seeds are digits of pi.
    #[inline]
    pub fn hash(self) -> u64 {
        let product = u128::from(self.low ^ 0x243F_6A88_85A3_08D3) * u128::from(self.high ^ 0x1319_8A2E_0370_7344);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        {
            product as u64 ^ (product >> 64) as u64
        }
    }

    /// Numbers that sort as the pretokens do: byte by byte, and what another one begins with comes before it.
    pub fn in_order(self) -> (u64, u64) {
        (self.low.swap_bytes(), self.high.swap_bytes())
    }

    pub fn bytes(self) -> ([u8; 16], usize) {
        ((u128::from(self.high) << 64 | u128::from(self.low)).to_le_bytes(), (self.high >> 56) as usize)
    }
}
