//! The regexes of `tiktoken`'s encodings, by their text there: other engines read some of it differently.

use crate::error::Result;
use crate::pretokenize::{Pattern, Pretokenizer, PretokenizerSettings};
use crate::vocab::Vocab;

/// GPT-2 and its successors. A run of whitespace at the end of the text is one pretoken by the last alternative but one anyway.
const GPT2: [&str; 3] = [
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
];

/// GPT-4. Where a text ends in whitespace, line ends stay together with the blanks after them, as they do not elsewhere.
const CL100K: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";

/// The same, in what Hugging Face's engine and ours read in the same way.
const CL100K_EVERYWHERE: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++\z|\s*[\r\n]|\s+(?!\S)|\s";

/// How `pattern`, a name or a regex, splits text that has these tokens.
pub(super) fn pretokenizer_of(pattern: &str, vocab: &Vocab) -> Result<Pretokenizer> {
    if GPT2.contains(&pattern) {
        return Ok(Pattern::Gpt2.into());
    }
    if pattern == CL100K {
        if !goes_on_behind_line_end(vocab) {
            return Ok(Pattern::Cl100k.into());
        }
        return Pretokenizer::of_regex(CL100K_EVERYWHERE);
    }
    Pretokenizer::new(&PretokenizerSettings::of_pattern(pattern))
}

/// Whether the last line end of a token has other whitespace behind it. The two ways of splitting whitespace at the end of a text
/// differ in a border behind its last line end; without such a token nothing merges over it, so the ids are the same.
fn goes_on_behind_line_end(vocab: &Vocab) -> bool {
    // The first bytes of all whitespace but line ends: tab to form feed, blank, U+0085 and U+00A0, U+1680, U+2000 and on, U+3000.
    let begins_blank = |byte: u8| matches!(byte, b'\t' | 0x0B | 0x0C | b' ' | 0xC2 | 0xE1 | 0xE2 | 0xE3);
    let goes_on = |token: &[u8]| {
        let line_end = token.iter().rposition(|byte| matches!(byte, b'\r' | b'\n'));
        line_end.and_then(|at| token.get(at + 1)).is_some_and(|&byte| begins_blank(byte))
    };
    vocab.iter().any(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocab(tokens: &[&str]) -> Vocab {
        let mut vocab = Vocab::default();
        for token in tokens {
            vocab.push(token.as_bytes());
        }
        vocab
    }

    #[test]
    fn the_end_of_a_text_is_told_apart_only_where_a_token_could_be_there() {
        let named = pretokenizer_of(CL100K, &vocab(&["\n\n", " \n", "\n  \n", "a b"])).unwrap();
        assert_eq!(named, Pattern::Cl100k.into());
        for token in ["\n ", "\n \n\t", "\r\u{3000}"] {
            let exact = pretokenizer_of(CL100K, &vocab(&[token])).unwrap();
            assert_eq!(exact.split("a\n  "), ["a", "\n  "]);
            assert_eq!(exact.split("a\n  b"), ["a", "\n", " ", " b"]);
        }
        assert_eq!(named.split("a\n  "), ["a", "\n", "  "]);
    }

    #[test]
    fn regexes_of_gpt2_are_its_pattern_and_others_are_as_everywhere() {
        for regex in GPT2 {
            assert_eq!(pretokenizer_of(regex, &Vocab::default()).unwrap(), Pattern::Gpt2.into());
        }
        assert_eq!(pretokenizer_of("o200k", &Vocab::default()).unwrap(), Pattern::O200k.into());
        assert_eq!(pretokenizer_of(r"\w+|\W", &Vocab::default()).unwrap().split("ab c"), ["ab", " ", "c"]);
        let message = pretokenizer_of("gpt9", &Vocab::default()).unwrap_err().to_string();
        assert!(message.starts_with("no pattern is called `gpt9`"), "{message}");
    }
}
