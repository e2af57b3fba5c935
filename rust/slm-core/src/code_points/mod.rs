//! Characters as numbers, which is how Python tells those of a `str`, brought to UTF-8.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::processor::Processor;
use std::mem::MaybeUninit;

/// Characters that are looked at together.
const BLOCK: usize = 16;

/// Room for the UTF-8 of a block.
type Room = [MaybeUninit<u8>; 4 * BLOCK];

/// Appends characters to `text`, given by their code points.
///
/// # Errors
/// The place of the first number that is no character: a surrogate, or beyond U+10FFFF. Characters before it may be appended.
///
/// ```
/// use slm_core::code_points::append;
///
/// let mut text = String::from("a");
/// assert_eq!(append(&mut text, &[0xE9, 0x4E2D, 0x1F600]), Ok(()));
/// assert_eq!(text, "aé中😀");
/// assert_eq!(append(&mut text, &[0x62, 0xDC80]), Err(1));
/// ```
pub fn append(text: &mut String, code_points: &[u32]) -> Result<(), usize> {
    append_by(Processor::detect(), text, code_points)
}

fn append_by(processor: Processor, text: &mut String, code_points: &[u32]) -> Result<(), usize> {
    // SAFETY: it is text again when this function returns, as only whole characters are appended.
    let bytes = unsafe { text.as_mut_vec() };
    // A block may write more than its characters take; the next one begins behind those.
    bytes.reserve(4 * (code_points.len() + BLOCK));
    let (len, outcome) = write(processor, bytes.spare_capacity_mut(), code_points);
    // SAFETY: so many bytes are written, and are the UTF-8 of whole characters.
    unsafe { bytes.set_len(bytes.len() + len) };
    outcome
}

/// Writes characters, and answers how many bytes of them there are, up to the block with the first that is none.
fn write(processor: Processor, to: &mut [MaybeUninit<u8>], code_points: &[u32]) -> (usize, Result<(), usize>) {
    match processor {
        // SAFETY: the processor has these instructions, or there was no such variant.
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512(_) => unsafe { avx512::write(to, code_points) },
        // SAFETY: see above.
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2(_) => unsafe { avx2::write(to, code_points) },
        Processor::Common => write_blocks(to, code_points, write_block),
    }
}

#[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
#[inline(always)]
fn write_blocks(
    to: &mut [MaybeUninit<u8>],
    code_points: &[u32],
    write_block: impl Fn(&mut Room, &[u32; BLOCK]) -> Option<usize>,
) -> (usize, Result<(), usize>) {
    let mut end = 0;
    for (number, part) in code_points.chunks(BLOCK).enumerate() {
        let mut filled_up = [0; BLOCK];
        let block = part.try_into().unwrap_or_else(|_| {
            filled_up[..part.len()].copy_from_slice(part);
            &filled_up
        });
        let to = to[end..].first_chunk_mut().expect("there is room for four bytes a character, and a block more");
        let Some(len) = write_block(to, block) else {
            return (end, Err(number * BLOCK + first_bad(block)));
        };
        // The zeros that the last block is filled up with are a byte each, and its last ones.
        end += len - (BLOCK - part.len());
    }
    (end, Ok(()))
}

/// The place of the first that is no character.
#[cold]
fn first_bad(block: &[u32; BLOCK]) -> usize {
    block.iter().position(|&code_point| char::from_u32(code_point).is_none()).unwrap_or(0)
}

/// Writes the UTF-8 of a block, if all of it are characters, and answers with its length. No loop breaks off, which lets the compiler
/// take several characters at a time.
#[inline]
fn write_block(to: &mut Room, block: &[u32; BLOCK]) -> Option<usize> {
    let all = block.iter().fold(0, |all, code_point| all | code_point);
    if all < 0x80 {
        for (byte, [first, ..]) in to.iter_mut().zip(block.map(u32::to_le_bytes)) {
            byte.write(first);
        }
        return Some(BLOCK);
    }
    let takes_more = |&c: &u32| u32::from(c ^ 0xD800 < 0x800) | u32::from(c > 0xFFFF);
    if block.iter().fold(0, |any, c| any | takes_more(c)) != 0 {
        return write_each(to, block);
    }
    let words = block.map(up_to_three);
    let lens = block.map(|c| 1 + u32::from(c >= 0x80) + u32::from(c >= 0x800));
    let mut end = 0;
    for (word, len) in words.into_iter().zip(lens) {
        // What is too much of the four bytes the next one overwrites.
        // SAFETY: each of those before has moved on by at most 3 bytes, so 4 more are within the 64.
        unsafe { to.as_mut_ptr().add(end).cast::<[u8; 4]>().write(word.to_le_bytes()) };
        end += len as usize;
    }
    Some(end)
}

/// As [`write_block`], for any characters.
#[cold]
fn write_each(to: &mut Room, block: &[u32; BLOCK]) -> Option<usize> {
    let mut end = 0;
    for &code_point in block {
        let mut utf8 = [0; 4];
        let len = char::from_u32(code_point)?.encode_utf8(&mut utf8).len();
        for (byte, encoded) in to[end..].iter_mut().zip(utf8) {
            byte.write(encoded);
        }
        end += len;
    }
    Some(end)
}

/// UTF-8 of a character up to U+FFFF, the first byte lowest, and zeros behind it.
#[inline]
fn up_to_three(c: u32) -> u32 {
    let two = 0x80C0 | (c >> 6) | ((c & 0x3F) << 8);
    let three = 0x80_80E0 | (c >> 12) | (((c >> 6) & 0x3F) << 8) | ((c & 0x3F) << 16);
    if c < 0x80 {
        c
    } else if c < 0x800 {
        two
    } else {
        three
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Code points of every length, and what is next to where lengths change; a few of them no characters.
    fn code_points() -> impl Strategy<Value = Vec<u32>> {
        let code_point = prop_oneof![
            20 => 0_u32..0x80,
            20 => 0x800_u32..0xD800,
            5 => 0xE000_u32..0x1_0000,
            5 => 0x80_u32..0x800,
            2 => 0x1_0000_u32..0x11_0000,
            1 => prop::sample::select(vec![
                0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000, 0xFFFF, 0x1_0000, 0x10_FFFF, 0x11_0000, u32::MAX,
            ]),
        ];
        // Runs, so that there are blocks of one kind.
        let run = (code_point, 1_usize..40).prop_map(|(code_point, len)| vec![code_point; len]);
        prop::collection::vec(run, 0..6).prop_map(|runs| runs.concat())
    }

    proptest! {
        #[test]
        fn the_text_is_what_the_standard_library_makes_of_the_characters(code_points in code_points()) {
            let bad = code_points.iter().position(|&code_point| char::from_u32(code_point).is_none());
            let expected: String = code_points.iter().filter_map(|&code_point| char::from_u32(code_point)).collect();
            for processor in Processor::all() {
                let mut text = String::from("é");
                let outcome = append_by(processor, &mut text, &code_points);
                prop_assert_eq!(outcome, bad.map_or(Ok(()), Err), "{:?}", processor);
                prop_assert!(str::from_utf8(text.as_bytes()).is_ok(), "{:?}", processor);
                prop_assert!(bad.is_some() || text == format!("é{expected}"), "{:?}", processor);
            }
        }
    }

    #[test]
    fn every_character_comes_through_alone_and_in_a_row() {
        for processor in Processor::all() {
            for character in '\0'..=char::MAX {
                let mut text = String::new();
                assert_eq!(append_by(processor, &mut text, &[u32::from(character); BLOCK + 1]), Ok(()));
                assert!(
                    text.chars().all(|other| other == character) && text.len() == (BLOCK + 1) * character.len_utf8()
                );
            }
        }
    }
}
