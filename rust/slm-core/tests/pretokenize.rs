//! The scanners against their regular expressions, in the engine `fancy-regex`.

mod cases;

use cases::num_cases;
use fancy_regex::Regex;
use proptest::prelude::*;
use slm_core::pretokenize::{Normalization, Pretokenizer, PretokenizerSettings};
use std::sync::LazyLock;

/// Every named pattern; then, from `WITH_DIGITS` on, each with other groups of numbers than its own.
static ORACLES: LazyLock<Vec<(Pretokenizer, Regex)>> = LazyLock::new(|| {
    let mut oracles: Vec<(Pretokenizer, Regex)> = Vec::new();
    for digits in [None, Some(1), Some(2), Some(3)] {
        for pattern in ["gpt2", "cl100k", "o200k", "qwen2"] {
            let settings = PretokenizerSettings { digits, ..PretokenizerSettings::of_pattern(pattern) };
            let pretokenizer = Pretokenizer::new(&settings).expect("the settings are in range");
            if oracles.iter().all(|(known, _)| *known != pretokenizer) {
                let regex = Regex::new(pretokenizer.regex()).expect("a pattern is a regex");
                oracles.push((pretokenizer, regex));
            }
        }
    }
    // Three of each, less what is the same by another name, and the runs of numbers of GPT-2.
    assert_eq!(oracles.len(), 10);
    oracles
});

const WITH_DIGITS: usize = 4;

fn assert_same_pretokens(text: &str, oracles: &[(Pretokenizer, Regex)]) {
    for (pretokenizer, regex) in oracles {
        let expected: Vec<&str> =
            regex.find_iter(text).map(|found| found.expect("the engine does not give up").as_str()).collect();
        assert_eq!(pretokenizer.split(text), expected, "{} on {text:?}", pretokenizer.identity());
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
    // Within groups of numbers, and between them: all that other groups change.
    let contexts_of_numbers = ["12{}34{}5{}{}{}{}", " {}  {}1"];
    let codes: Vec<char> = (0..=0x10_FFFF).filter_map(char::from_u32).collect();
    let place = |characters: &[char], contexts: &[&str]| {
        let mut text = String::new();
        for &character in characters {
            for context in contexts {
                text.extend(context.split("{}").enumerate().flat_map(|(idx, part)| {
                    let inserted = if idx == 0 { None } else { Some(character) };
                    inserted.into_iter().chain(part.chars())
                }));
            }
        }
        text
    };
    let check = |characters: &[char]| {
        assert_same_pretokens(&place(characters, &contexts), &ORACLES[..WITH_DIGITS]);
        assert_same_pretokens(&place(characters, &contexts_of_numbers), &ORACLES);
    };
    std::thread::scope(|scope| {
        for codes in codes.chunks(codes.len().div_ceil(8)) {
            scope.spawn(move || codes.chunks(64).for_each(check));
        }
    });
}

/// Each pattern, and regexes that none is for, where text is composed, with a blank before it and without.
static PREPARING: LazyLock<Vec<Pretokenizer>> = LazyLock::new(|| {
    let regexes = [r" ?\p{L}+|\p{M}+|\s+", r"[^\n]+\n?", r"\p{Lu}?[\p{Ll}\p{M}]+|\p{Lu}+(?!\p{Ll})|\s+(?=\S)|."];
    let of_regexes = regexes.map(|regex| Pretokenizer::of_regex(regex).expect("it can be run"));
    let all: Vec<Pretokenizer> = ORACLES.iter().map(|(named, _)| named.clone()).chain(of_regexes).collect();
    let with =
        |prefix_space| all.iter().map(move |one| one.clone().with_options(prefix_space, Some(Normalization::Nfc)));
    with(false).chain(with(true)).collect()
});

/// The pretokens of a document, or of the end of one.
fn prepared_and_split(pretokenizer: &Pretokenizer, text: &str, begins: bool) -> Vec<String> {
    let mut buffer = String::new();
    let prepared = pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text);
    pretokenizer.split(prepared).into_iter().map(str::to_owned).collect()
}

/// Text that is dense in what composing changes, and in what it might seem to.
fn texts_to_compose() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::sample::select("aeuqAE é1'.  \n".chars().collect::<Vec<_>>()),
        3 => prop::sample::select("\u{301}\u{316}\u{315}\u{30a}\u{308}\u{344}\u{327}".chars().collect::<Vec<_>>()),
        2 => prop::sample::select("\u{1100}\u{1161}\u{11a8}\u{11a7}\u{ac00}\u{ac01}".chars().collect::<Vec<_>>()),
        2 => prop::sample::select("\u{212b}\u{1fef}\u{2000}\u{915}\u{93c}\u{958}\u{f73}\u{f71}".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ];
    prop::collection::vec(character, 0..60).prop_map(|characters| characters.into_iter().collect())
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
    // A character alone, or a run of it: runs cross the blocks that scanners work in.
    let run = (character, prop_oneof![12 => Just(1), 1 => 2..80_usize]);
    prop::collection::vec(run, 0..200).prop_map(|runs| {
        runs.into_iter().flat_map(|(character, length)| std::iter::repeat_n(character, length)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(num_cases(1000)))]

    #[test]
    fn random_text_is_cut_as_the_regex_does(text in texts()) {
        assert_same_pretokens(&text, &ORACLES);
    }

    #[test]
    fn cutting_at_a_safe_place_changes_nothing(text in texts(), seen in 0.0..1.0f64) {
        // What the reader has seen of the document may end within a character.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let seen = (text.len() as f64 * seen) as usize;
        for (pretokenizer, _) in &*ORACLES {
            let cut = pretokenizer.safe_cut(&text.as_bytes()[..seen]);
            prop_assert!(cut <= seen);
            let parts = [pretokenizer.split(&text[..cut]), pretokenizer.split(&text[cut..])].concat();
            prop_assert_eq!(parts, pretokenizer.split(&text), "{} cut {:?} at {}", pretokenizer.identity(), text, cut);
        }
    }
    #[test]
    fn composing_what_is_cut_at_a_safe_place_changes_nothing(text in texts_to_compose()) {
        for pretokenizer in &*PREPARING {
            let whole = prepared_and_split(pretokenizer, &text, true);
            let mut tried = 0;
            for seen in 0..=text.len() {
                let cut = pretokenizer.safe_cut(&text.as_bytes()[..seen]);
                if cut > tried {
                    tried = cut;
                    let mut parts = prepared_and_split(pretokenizer, &text[..cut], true);
                    parts.extend(prepared_and_split(pretokenizer, &text[cut..], false));
                    prop_assert_eq!(&parts, &whole, "{} cut {:?} at {}", pretokenizer.identity(), text, cut);
                }
            }
        }
    }
}
