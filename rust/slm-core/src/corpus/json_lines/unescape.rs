//! The bulk of a JSON string: text and short escapes, sixteen bytes at a time.

/// Bytes looked at and copied at once.
pub(super) const WIDTH: usize = 16;

/// What a `\` and each byte stand for, 0 where that is not one byte.
const SHORT: [u8; 256] = {
    let mut short = [0; 256];
    let escapes = *b"n\nt\tr\rb\x08f\x0C\"\"\\\\//";
    let mut idx = 0;
    while idx < escapes.len() {
        short[escapes[idx] as usize] = escapes[idx + 1];
        idx += 2;
    }
    short
};

/// Appends what the beginning of `rest`, which is inside a string, stands for, and gives how many bytes that beginning has.
///
/// It ends before what is neither text nor a short escape, once `text` has `max_bytes`, or less than [`WIDTH`] bytes before the end.
pub(super) fn unescape(rest: &str, text: &mut String, max_bytes: usize) -> usize {
    let bytes = rest.as_bytes();
    let mut unescaped = std::mem::take(text).into_bytes();
    let mut read = 0;
    while let Some(chunk) = bytes[read..].first_chunk::<WIDTH>()
        && unescaped.len() < max_bytes
    {
        let plain = plain_length_of_chunk(chunk);
        // All are copied, and then those behind are taken back: cheaper than to copy a length that varies.
        let len = unescaped.len() + plain;
        unescaped.extend_from_slice(chunk);
        unescaped.truncate(len);
        read += plain;
        if plain < WIDTH {
            let [b'\\', escape, ..] = bytes[read..] else { break };
            let escaped = SHORT[usize::from(escape)];
            if escaped == 0 {
                break;
            }
            unescaped.push(escaped);
            read += 2;
        }
    }
    // A chunk may end inside a character.
    while !rest.is_char_boundary(read) {
        read -= 1;
        unescaped.pop();
    }
    // SAFETY: `text` was valid; what was added are parts of `rest` that begin and end between characters, and ASCII between them.
    *text = unsafe { String::from_utf8_unchecked(unescaped) };
    read
}

/// Whether a byte is a quote, a `\` or a control character.
pub(super) fn is_special(byte: u8) -> bool {
    matches!(byte, ..b' ' | b'"' | b'\\')
}

/// How many bytes there are before the first that is special.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn plain_length_of_chunk(chunk: &[u8; WIDTH]) -> usize {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: SSE2 belongs to every x86-64, and the chunk is 16 readable bytes.
    let special = unsafe {
        let v = _mm_loadu_si128(chunk.as_ptr().cast());
        let is = |byte| _mm_cmpeq_epi8(v, _mm_set1_epi8(byte));
        let is_control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v);
        _mm_movemask_epi8(_mm_or_si128(is_control, _mm_or_si128(is(0x22), is(0x5C))))
    };
    (special | 1 << WIDTH).trailing_zeros() as usize
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn plain_length_of_chunk(chunk: &[u8; WIDTH]) -> usize {
    chunk.iter().position(|&byte| is_special(byte)).unwrap_or(WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_ends_before_what_is_not_its_own() {
        for (behind, expected) in [("\"", 20), ("\n", 20), ("\\u0041", 20), ("\\x", 20), ("\\", 20)] {
            let rest = format!("an {{escape}} \\t and \\n{behind}{}", " ".repeat(20));
            let mut text = String::from("before ");
            assert_eq!(unescape(&rest, &mut text, 1000), expected + 1, "{behind:?}");
            assert_eq!(text, "before an {escape} \t and \n");
        }
    }

    proptest! {
        #[test]
        fn it_reads_a_beginning_as_serde_does(
            parts in proptest::collection::vec(
                prop_oneof!["[a-c 中é🙂\u{7f}]{1,20}", r#"\\[nrtbf"/\\]"#, Just(r"\u00e9".to_owned())], 0..30,
            ),
            max_bytes in 1_usize..200,
        ) {
            let rest = parts.concat();
            let mut text = String::new();
            let read = unescape(&rest, &mut text, max_bytes);
            prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{}\"", &rest[..read])).unwrap(), &*text);
            prop_assert!(text.len() < max_bytes + WIDTH + 1);
            prop_assert!(
                rest.len() - read < WIDTH + 3 || text.len() + 3 >= max_bytes || rest[read..].starts_with("\\u"), "{read}"
            );
        }
    }
}
