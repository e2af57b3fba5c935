//! The scanners against their regular expressions, in the engine `fancy-regex`.

use fancy_regex::Regex;
use proptest::prelude::*;
use slm_core::pretokenize::Pattern;
use std::sync::LazyLock;

static ORACLES: LazyLock<Vec<(Pattern, Regex)>> = LazyLock::new(|| {
    Pattern::ALL
        .into_iter()
        .map(|pattern| (pattern, Regex::new(pattern.regex()).expect("a pattern is a regex")))
        .collect()
});

fn assert_same_pretokens(text: &str) {
    for (pattern, regex) in &*ORACLES {
        let expected: Vec<&str> =
            regex.find_iter(text).map(|found| found.expect("the engine does not give up").as_str()).collect();
        let mut pretokens = Vec::new();
        pattern.for_each(text, |pretoken| pretokens.push(pretoken));
        assert_eq!(pretokens, expected, "{} on {text:?}", pattern.name());
        assert!(pattern.split(text).eq(pretokens), "the iterator differs for {} on {text:?}", pattern.name());
    }
}

#[test]
fn every_code_point_is_cut_as_the_regex_does_in_every_context() {
    // Each context puts a character before and after every class, beside its own kind and at a contraction.
    let contexts = [
        "a{}",
        "{}a 1{}1",
        "!{}! {}",
        " {} \n{}\n",
        "  {}  \t{}",
        "{}{} {}{}",
        "'{}'s{}",
        "'S{}'LL{}",
        // Capitals, small letters, letters without case and marks on either side, and what may follow punctuation.
        "A{}A {}AB!A{}a",
        " {}Ab語{}A.",
        "語A{}b A{}語A ",
        "!!{}/\n{}/ A\u{301}{}'re",
        "\u{301}{}A\n\u{301}{} ",
    ];
    let codes: Vec<char> = (0..=0x10_FFFF).filter_map(char::from_u32).collect();
    let check = |characters: &[char]| {
        let mut text = String::new();
        for &character in characters {
            for context in contexts {
                text.extend(context.split("{}").enumerate().flat_map(|(idx, part)| {
                    let inserted = if idx == 0 { None } else { Some(character) };
                    inserted.into_iter().chain(part.chars())
                }));
            }
        }
        assert_same_pretokens(&text);
    };
    std::thread::scope(|scope| {
        for codes in codes.chunks(codes.len().div_ceil(8)) {
            scope.spawn(move || codes.chunks(64).for_each(check));
        }
    });
}

/// Text that is dense in what the patterns tell apart.
fn texts() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        6 => prop::sample::select("aeltvrsdmASTVELDMRÀǅ".chars().collect::<Vec<_>>()),
        4 => prop::sample::select("      \n\r\t\u{b}".chars().collect::<Vec<_>>()),
        3 => prop::sample::select("''''.!-#/\0\u{7f}".chars().collect::<Vec<_>>()),
        2 => prop::sample::select("0127".chars().collect::<Vec<_>>()),
        3 => prop::sample::select("é語ʰſ٣Ⅷ\u{a0}\u{85}\u{3000}\u{2028}…，\u{301}\u{903}😀𝟘\u{1c89}".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ];
    prop::collection::vec(character, 0..200).prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_text_is_cut_as_the_regex_does(text in texts()) {
        assert_same_pretokens(&text);
    }

    #[test]
    fn cutting_at_a_safe_place_changes_nothing(text in texts(), seen in 0.0..1.0f64) {
        // What the reader has seen of the document may end within a character.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let seen = (text.len() as f64 * seen) as usize;
        for pattern in Pattern::ALL {
            let cut = pattern.safe_cut(&text.as_bytes()[..seen]);
            prop_assert!(cut <= seen);
            let parts = pattern.split(&text[..cut]).chain(pattern.split(&text[cut..]));
            prop_assert!(parts.eq(pattern.split(&text)), "{} cut {text:?} at {cut}", pattern.name());
        }
    }
}
