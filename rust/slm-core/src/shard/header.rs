//! The header of a `.npy` file, padded to one page so that the array behind it is aligned to pages too.
//!
//! Format version 1.0: the magic `\x93NUMPY`, the version `1, 0`, the length of the rest as u16, and a Python dictionary as text,
//! filled up with spaces and ended by a line feed (`numpy/lib/format.py`). `NumPy` allows any length up to 10,000 bytes, and the
//! length of the array may be filled in at the end because its digits have room.

/// Bytes before the array.
pub const HEADER_BYTES: usize = 4096;

/// What an element of an array is; little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Token ids of vocabularies up to 65,536.
    U16,
    /// Token ids of larger vocabularies.
    U32,
    /// Offsets.
    U64,
}

impl Element {
    /// The narrowest element that holds every id of a vocabulary.
    pub fn for_vocab_size(vocab_size: usize) -> Self {
        if vocab_size <= 1 << 16 { Self::U16 } else { Self::U32 }
    }

    /// Its size.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }

    /// As `NumPy` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
        }
    }

    const fn descr(self) -> &'static str {
        match self {
            Self::U16 => "<u2",
            Self::U32 => "<u4",
            Self::U64 => "<u8",
        }
    }
}

/// The header of a one-dimensional array of `len` elements.
#[allow(clippy::cast_possible_truncation)] // the length field holds 4086, which fits in its 16 bits
pub fn npy_header(element: Element, len: u64) -> [u8; HEADER_BYTES] {
    const PREFIX: &[u8; 8] = b"\x93NUMPY\x01\x00";
    let dictionary = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({len},), }}", element.descr());
    let mut header = [b' '; HEADER_BYTES];
    header[..8].copy_from_slice(PREFIX);
    header[8..10].copy_from_slice(&((HEADER_BYTES - 10) as u16).to_le_bytes());
    header[10..10 + dictionary.len()].copy_from_slice(dictionary.as_bytes());
    header[HEADER_BYTES - 1] = b'\n';
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_what_numpy_expects() {
        let header = npy_header(Element::U16, 123);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\xf6\x0f");
        let text = std::str::from_utf8(&header[10..]).unwrap();
        assert_eq!(text.trim_end(), "{'descr': '<u2', 'fortran_order': False, 'shape': (123,), }");
        assert!(text.ends_with(" \n"));
    }

    #[test]
    fn the_element_widens_past_65536_tokens() {
        assert_eq!(Element::for_vocab_size(65_536), Element::U16);
        assert_eq!(Element::for_vocab_size(65_537), Element::U32);
    }
}
