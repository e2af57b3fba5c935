//! What a special token may be called, and finding them in text: of overlapping ones the leftmost, and at one place the longest.

use crate::byte_chars::bytes_of_chars;
use crate::error::{Error, Result};
use aho_corasick::{AhoCorasick, Input, MatchKind};

/// Says which contents no special token can have.
///
/// # Errors
/// [`Error::Config`] where one is empty, or is also how byte-level files write other bytes that text may be merged to: both would
/// be one entry of the file, with one id, and nobody could tell what it decodes to.
pub(crate) fn check_contents(special_tokens: &[String]) -> Result<()> {
    for content in special_tokens {
        if content.is_empty() {
            return Err(Error::Config(
                "a special token is empty\n\nhint: remove `\"\"` from `special_tokens`".to_owned(),
            ));
        }
        let Some(bytes) = bytes_of_chars(content) else { continue };
        if bytes != content.as_bytes() && (bytes.len() == 1 || is_within_text(&bytes)) {
            return Err(Error::Config(format!(
                "the special token `{content}` is also how tokenizer files write {}, and one token cannot be both\n\nhint: give it \
                 another name, such as `<|{content}|>`",
                if bytes.len() == 1 { format!("byte 0x{:02X}", bytes[0]) } else { format!("bytes {bytes:02X?}") }
            )));
        }
    }
    Ok(())
}

/// Whether some text has these bytes in a row: the end of a character, characters, and the beginning of one.
fn is_within_text(bytes: &[u8]) -> bool {
    let rest_of_character = bytes.iter().take(3).take_while(|&&byte| byte & 0xC0 == 0x80).count();
    match std::str::from_utf8(&bytes[rest_of_character..]) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

/// Finds special tokens.
#[derive(Clone, Debug)]
pub struct SpecialTokenFinder {
    automaton: AhoCorasick,
    max_bytes: usize,
}

/// What a text is made of.
pub(crate) enum Part<'a> {
    /// Text between special tokens; not empty.
    Text(&'a str),
    /// A special token.
    Special,
}

impl SpecialTokenFinder {
    /// Takes the texts of the special tokens; `None` where there are none.
    ///
    /// # Errors
    /// [`Error::Config`] where one is empty, or is also how files write other bytes.
    pub fn new(special_tokens: &[String]) -> Result<Option<Self>> {
        check_contents(special_tokens)?;
        let Some(max_bytes) = special_tokens.iter().map(String::len).max() else { return Ok(None) };
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(special_tokens);
        let automaton =
            automaton.map_err(|error| Error::Config(format!("the special tokens cannot be searched for: {error}")))?;
        Ok(Some(Self { automaton, max_bytes }))
    }
}

/// Finds special tokens in a text that comes in pieces, wherever the pieces end.
pub(crate) struct SpecialTokenReader {
    finder: SpecialTokenFinder,
    /// Text that may hold the beginning of a special token, or one that may turn out to be longer.
    held: String,
}

impl SpecialTokenReader {
    pub fn new(finder: SpecialTokenFinder) -> Self {
        Self { finder, held: String::new() }
    }

    /// Takes the next piece and hands on what is certain by then.
    pub fn feed(&mut self, text: &str, emit: &mut dyn FnMut(Part<'_>) -> Result<()>) -> Result<()> {
        self.held.push_str(text);
        // At the places before this one, any special token would be there to its end.
        self.hand_on(self.held.len().saturating_sub(self.finder.max_bytes - 1), emit)
    }

    /// Ends the text and hands on the rest of it.
    pub fn end(&mut self, emit: &mut dyn FnMut(Part<'_>) -> Result<()>) -> Result<()> {
        self.hand_on(self.held.len(), emit)
    }

    /// Hands on the special tokens that start before `certain`, and the text up to there.
    fn hand_on(&mut self, certain: usize, emit: &mut dyn FnMut(Part<'_>) -> Result<()>) -> Result<()> {
        let mut start = 0;
        while let Some(found) = self.finder.automaton.find(Input::new(&self.held).range(start..))
            && found.start() < certain
        {
            if found.start() > start {
                emit(Part::Text(&self.held[start..found.start()]))?;
            }
            emit(Part::Special)?;
            start = found.end();
        }
        let end = (start..=certain).rev().find(|&at| self.held.is_char_boundary(at)).unwrap_or(start);
        if end > start {
            emit(Part::Text(&self.held[start..end]))?;
        }
        self.held.drain(..end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_files_write_bytes_by_is_refused() {
        let refused = |content: &str| check_contents(&[content.to_owned()]).err().map(|error| error.to_string());
        for content in ["a", "<s>", "\u{8a9e}", "<|d\u{e9}but|>", "\u{120} ", "na\u{ef}ve", "\u{410}"] {
            assert_eq!(refused(content), None, "{content}");
        }
        assert!(refused("").unwrap().starts_with("a special token is empty"));
        let message = refused("\u{120}").unwrap();
        assert!(message.starts_with("the special token `\u{120}` is also how tokenizer files write byte 0x20, "));
        assert!(message.ends_with("such as `<|\u{120}|>`"));
        // A space and a letter, the end of a character, the beginning of one, and a byte that no text has.
        for content in ["\u{120}a", "\u{a7}", "\u{a7}\u{a7}", "a\u{e9}", "\u{e9}\u{ab}", "\u{ff}"] {
            assert!(refused(content).is_some(), "{content}");
        }
    }

    /// Parts in one string, with `|` for a special token; text in a row is one part however it was handed on.
    fn parts(pieces: &[&str], special_tokens: &[String]) -> String {
        let mut reader = SpecialTokenReader::new(SpecialTokenFinder::new(special_tokens).unwrap().unwrap());
        let mut parts = String::new();
        let mut emit = |part: Part<'_>| {
            match part {
                Part::Text(text) => {
                    assert!(!text.is_empty());
                    parts.push_str(text);
                }
                Part::Special => parts.push('|'),
            }
            Ok(())
        };
        for piece in pieces {
            reader.feed(piece, &mut emit).unwrap();
        }
        reader.end(&mut emit).unwrap();
        parts
    }

    /// The definition: at each place the longest special token, and else a character of text.
    fn parts_naively(text: &str, special_tokens: &[String]) -> String {
        let mut parts = String::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let longest = special_tokens.iter().filter(|token| rest.starts_with(*token)).map(String::len).max();
            parts.push(if longest.is_some() { '|' } else { character });
            rest = &rest[longest.unwrap_or(character.len_utf8())..];
        }
        parts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn pieces_of_any_size_give_the_parts_of_the_whole(
            pieces in prop::collection::vec("[ab<…]{0,6}", 0..12),
            special_tokens in prop::collection::vec("[ab<…]{1,4}", 1..5),
        ) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(parts(&pieces, &special_tokens), parts_naively(&pieces.concat(), &special_tokens));
        }
    }

    #[test]
    fn a_longer_special_token_that_is_not_finished_is_waited_for() {
        let tokens = ["<a>".to_owned(), "<a><b>".to_owned(), "bc".to_owned()];
        assert_eq!(parts(&["x<a", "><b", ">y"], &tokens), "x|y");
        assert_eq!(parts(&["x<a", "><b", "c"], &tokens), "x|<|");
    }
}
