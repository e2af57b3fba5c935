//! Training against a naive trainer, which counts every pair anew before each merge, and against what is known of
//! Hugging Face's `BpeTrainer`.

mod cases;

use cases::num_cases;
use proptest::prelude::*;
use slm_core::byte_chars::{bytes_in_char_order, bytes_of_chars};
use slm_core::corpus::Source;
use slm_core::count::{Bounds, PretokenCounts};
use slm_core::error::Error;
use slm_core::pretokenize::{Normalization, Pattern, Pretokenizer, PretokenizerSettings};
use slm_core::train::{SpecialTokensInText, TrainOptions, train, train_on_counts};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

type Counts = BTreeMap<Vec<u8>, u64>;

/// A token of the naive trainer: its id, which alone decides ties, and its bytes.
type Token = (u32, Vec<u8>);

/// The specification, word for word: `(left, right, produced)` by rank, and the size of the vocabulary.
fn naive(counts: &Counts, options: &TrainOptions) -> (Vec<(u32, u32, u32)>, usize) {
    let mut ids: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut size = 0;
    let mut contents: Vec<&String> = Vec::new();
    for content in &options.special_tokens {
        if !contents.contains(&content) {
            contents.push(content);
            ids.extend(bytes_of_chars(content).map(|bytes| (bytes, size)));
            size += 1;
        }
    }
    for byte in bytes_in_char_order() {
        let occurs = counts.keys().any(|pretoken| pretoken.contains(&byte));
        if (occurs || options.initial_alphabet) && !ids.contains_key(&vec![byte]) {
            ids.insert(vec![byte], size);
            size += 1;
        }
    }
    let mut words: Vec<(Vec<Token>, u64)> = counts
        .iter()
        .map(|(pretoken, &count)| (pretoken.iter().map(|&byte| (ids[&vec![byte]], vec![byte])).collect(), count))
        .collect();
    let mut merges = Vec::new();
    while (size as usize) < options.vocab_size {
        let mut pairs: BTreeMap<(u32, u32), (u64, Vec<u8>)> = BTreeMap::new();
        for (word, count) in &words {
            for window in word.windows(2) {
                let bytes = [&window[0].1[..], &window[1].1[..]].concat();
                pairs.entry((window[0].0, window[1].0)).or_insert((0, bytes)).0 += count;
            }
        }
        pairs.retain(|_, (_, bytes)| bytes.len() == 2 || options.max_token_length.is_none_or(|max| bytes.len() < max));
        pairs.retain(|_, (_, bytes)| options.max_token_bytes.is_none_or(|max| bytes.len() <= max));
        // The first of the highest, in the order of pairs.
        let Some((&(left, right), (count, bytes))) = pairs.iter().rev().max_by_key(|(_, (count, _))| *count) else {
            break;
        };
        if *count < options.min_frequency.max(1) {
            break;
        }
        let produced = *ids.entry(bytes.clone()).or_insert(size);
        size = size.max(produced + 1);
        merges.push((left, right, produced));
        for (word, _) in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if word[at].0 == left && word[at + 1].0 == right {
                    word.splice(at..at + 2, [(produced, bytes.clone())]);
                }
                at += 1;
            }
        }
    }
    (merges, size as usize)
}

fn learn(counts: &Counts, options: &TrainOptions) -> (Vec<(u32, u32, u32)>, usize) {
    let mut table = PretokenCounts::default();
    for (pretoken, &count) in counts {
        table.add(pretoken, count);
    }
    let (vocab, merges) = train_on_counts(table, options, &mut |_| ControlFlow::Continue(())).expect("it trains");
    (merges.into_iter().map(|merge| (merge.left, merge.right, merge.produced)).collect(), vocab.len())
}

fn options(vocab_size: usize) -> TrainOptions {
    TrainOptions { vocab_size, special_tokens: Vec::new(), initial_alphabet: false, ..TrainOptions::default() }
}

fn counts(pretokens: &[(&str, u64)]) -> Counts {
    pretokens.iter().map(|&(pretoken, count)| (pretoken.as_bytes().to_vec(), count)).collect()
}

fn small_corpora() -> impl Strategy<Value = (Counts, TrainOptions)> {
    let pretokens = (1..=4_usize).prop_flat_map(|letters| {
        let letter = prop::sample::select(b"ab c"[..letters].to_vec());
        let run = (letter.clone(), 1..7_usize).prop_map(|(letter, times)| vec![letter; times]);
        let pretoken = prop_oneof![
            4 => prop::collection::vec(letter, 1..12),
            1 => prop::collection::vec(run, 1..6).prop_map(|runs| runs.concat()),
        ];
        let weight = prop_oneof![6 => 1..4_u64, 2 => 1..40_u64, 1 => Just(5_000_000_000)];
        prop::collection::btree_map(pretoken, weight, 0..30)
    });
    let special = prop::sample::select(vec!["a", "ab", "aa", " ", " a", "abab", "<s>", "語"]);
    (
        pretokens,
        1..120_usize,
        0..=3_u64,
        (prop::option::weighted(0.3, 0..8_usize), prop::option::weighted(0.2, 0..8_usize)),
        prop::collection::vec(special, 0..4),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(counts, merges, min_frequency, (max_token_length, max_token_bytes), special_tokens, initial_alphabet)| {
                let alphabet = if initial_alphabet { 256 } else { 4 };
                let special_tokens: Vec<String> = special_tokens.into_iter().map(str::to_owned).collect();
                let vocab_size = alphabet + special_tokens.len() + merges;
                let options = TrainOptions {
                    vocab_size,
                    min_frequency,
                    max_token_length,
                    max_token_bytes,
                    special_tokens,
                    initial_alphabet,
                    ..TrainOptions::default()
                };
                (counts, options)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(num_cases(3000)))]

    #[test]
    fn training_equals_the_naive_trainer((counts, options) in small_corpora()) {
        prop_assert_eq!(learn(&counts, &options), naive(&counts, &options));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(num_cases(1000)))]

    #[test]
    fn training_equals_the_naive_trainer_within_any_memory(
        (counts, options) in small_corpora(), memory_bytes in prop_oneof![0..20_000_usize, 200..3000_usize], num_threads in 1..3_usize
    ) {
        let spill_dir = tempfile::tempdir().expect("it is made");
        let bounds = Bounds { memory_bytes, spill_dir: spill_dir.path().to_owned(), max_spill_bytes: None };
        let bounded = TrainOptions { bounds: Some(bounds), num_threads, ..options.clone() };
        prop_assert_eq!(learn(&counts, &bounded), naive(&counts, &options));
        prop_assert_eq!(std::fs::read_dir(spill_dir.path()).expect("it is there").count(), 0);
    }
}

/// Every way to prepare and to split a text.
fn pretokenizers() -> impl Strategy<Value = Pretokenizer> {
    let pattern = prop::sample::select(vec!["gpt2", "cl100k", "o200k", "llama3", "qwen2", r" ?\p{L}+|[\p{M}\p{N}]"]);
    let options = (prop::option::weighted(0.4, 1..=3_u64), any::<bool>(), any::<bool>());
    (pattern, options).prop_map(|(pattern, (digits, prefix_space, composes))| {
        let digits = digits.filter(|_| pattern.chars().all(char::is_alphanumeric));
        let normalization = composes.then_some(Normalization::Nfc);
        let settings = PretokenizerSettings { pattern: pattern.to_owned(), digits, prefix_space, normalization };
        Pretokenizer::new(&settings).expect("the settings are in range")
    })
}

/// The text between special tokens: at each place the first of them that is there, none of which begins another.
fn text_between(document: &str, special_tokens: &[String]) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut at = 0;
    while at < document.len() {
        let rest = &document[at..];
        if let Some(token) = special_tokens.iter().find(|token| rest.starts_with(*token)) {
            parts.push(String::new());
            at += token.len();
        } else {
            let character = rest.chars().next().expect("there is a rest");
            parts.last_mut().expect("there is one").push(character);
            at += character.len_utf8();
        }
    }
    parts
}

/// Documents of few letters, most of which hold pretokens that occur nowhere else.
fn small_documents() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        3 => "[ab]{1,6}",
        2 => "[a-e]{1,12}",
        1 => "a{1,40}",
        1 => "[日本語🫨é]{1,8}",
        1 => "[0-9 \n'.]{1,5}",
        1 => "[e\u{301}\u{316}\u{1100}\u{1161}\u{11a8}가\u{212b}]{1,6}",
        1 => "<s>|a<s>b",
    ];
    let document = prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "));
    prop::collection::vec(document, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(num_cases(300)))]

    #[test]
    fn documents_give_the_merges_of_the_naive_trainer_within_any_memory(
        documents in small_documents(), pretokenizer in pretokenizers(), is_split in any::<bool>(),
        memory_bytes in 0..60_000_usize, num_threads in 1..4_usize, merges in 1..80_usize
    ) {
        let special_tokens = vec!["<s>".to_owned(), "ab".to_owned()];
        let mut counts = Counts::new();
        for document in &documents {
            let whole = vec![document.clone()];
            for text in if is_split { text_between(document, &special_tokens) } else { whole } {
                let mut buffer = String::new();
                let text = pretokenizer.prepare(&text, true, &mut buffer).unwrap_or(&text);
                pretokenizer.for_each_range(text, |start, end| {
                    *counts.entry(text.as_bytes()[start..end].to_vec()).or_default() += 1;
                });
            }
        }
        prop_assume!(!counts.is_empty());
        let spill_dir = tempfile::tempdir().expect("it is made");
        let bounds = Bounds { memory_bytes, spill_dir: spill_dir.path().to_owned(), max_spill_bytes: None };
        let special_tokens_in_text = if is_split { SpecialTokensInText::Split } else { SpecialTokensInText::Text };
        let bounded = TrainOptions {
            bounds: Some(bounds), num_threads, pretokenizer, special_tokens, special_tokens_in_text, ..options(80 + merges)
        };
        let mut left = Some(documents);
        let source = Source::Memory(Box::new(move || Ok(left.take())));
        let trained = train(source, &bounded, &mut |_| ControlFlow::Continue(())).expect("it trains");
        let found: Vec<_> = trained.merges.into_iter().map(|merge| (merge.left, merge.right, merge.produced)).collect();
        prop_assert_eq!((found, trained.vocab.len()), naive(&counts, &bounded));
        prop_assert_eq!(std::fs::read_dir(spill_dir.path()).expect("it is there").count(), 0);
    }
}

/// Text of words that are mostly different, with some frequent ones between them.
fn text_of_words(num_words: u64) -> String {
    let mut state = 7_u64;
    let mut text = String::new();
    for number in 0..num_words {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = if number % 3 == 0 { (state >> 40) % 300 } else { state >> 33 };
        let letters: String = (0..=word % 9).map(|at| char::from(b'a' + (word >> (at * 3) & 15) as u8)).collect();
        text.push(' ');
        text.push_str(&letters);
        if word % 17 == 0 {
            text.push_str("\u{8a9e}\u{8a9e}".repeat((word % 5) as usize).as_str());
        }
    }
    text
}

#[test]
fn training_within_bounds_equals_training_without() {
    let text = text_of_words(20_000);
    let trained = |options: &TrainOptions| {
        let mut documents = Some(vec![text.clone(); 2]);
        let source = Source::Memory(Box::new(move || Ok(documents.take())));
        train(source, options, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let free = TrainOptions { vocab_size: 1500, ..TrainOptions::default() };
    let expected = trained(&free);
    let mut passes = Vec::new();
    for (memory_bytes, num_threads) in [(200_000, 1), (400_000, 2), (800_000, 3), (64 << 20, 2)] {
        let spill_dir = tempfile::tempdir().unwrap();
        let bounds = Bounds { memory_bytes, spill_dir: spill_dir.path().to_owned(), max_spill_bytes: None };
        let bounded = trained(&TrainOptions { bounds: Some(bounds), num_threads, ..free.clone() });
        assert_eq!(bounded.merges, expected.merges, "{memory_bytes}");
        assert_eq!((bounded.counts, &bounded.corpus), (expected.counts, &expected.corpus));
        assert!(bounded.vocab.iter().eq(expected.vocab.iter()));
        assert_eq!(bounded.spilled_bytes > 0, memory_bytes < 64 << 20);
        passes.push(bounded.passes);
        assert_eq!(std::fs::read_dir(spill_dir.path()).unwrap().count(), 0);
    }
    assert!(passes.is_sorted_by(|more, fewer| more >= fewer) && passes[0] > 1, "{passes:?}");
    assert_eq!(passes[3], 1);
}

#[test]
fn too_little_space_to_spill_is_refused_and_leaves_nothing() {
    let spill_dir = tempfile::tempdir().unwrap();
    let bounds =
        Bounds { memory_bytes: 100_000, spill_dir: spill_dir.path().to_owned(), max_spill_bytes: Some(10_000) };
    let options = TrainOptions { bounds: Some(bounds), ..options(500) };
    let error = of_documents(&[&text_of_words(30_000)], &options).unwrap_err();
    assert!(matches!(&error, Error::Config(message) if message.starts_with("`max_spill` is 10000 bytes")), "{error}");
    assert_eq!(std::fs::read_dir(spill_dir.path()).unwrap().count(), 0);
}

#[test]
fn overlapping_windows_count_and_runs_are_merged_from_the_left() {
    let (merges, size) = learn(&counts(&[("aaaaa", 1)]), &options(10));
    assert_eq!(merges, [(0, 0, 1), (1, 0, 2), (1, 2, 3)]);
    assert_eq!(size, 4);
}

#[test]
fn ties_go_to_the_smaller_pair_of_ids_and_ids_follow_the_characters() {
    // A space is `Ġ`, after all letters: so `ab` wins over ` a` though the byte of the space is smaller.
    let (merges, _) = learn(&counts(&[(" a", 1), ("ab", 1)]), &options(4));
    assert_eq!(merges, [(0, 1, 3)]);
}

#[test]
fn a_merge_with_the_text_of_a_special_token_takes_its_id() {
    let options = TrainOptions { special_tokens: vec!["he".to_owned()], ..options(5) };
    let (merges, size) = learn(&counts(&[("the", 3), ("he", 1)]), &options);
    assert_eq!(merges, [(2, 1, 0), (3, 0, 4)]);
    assert_eq!(size, 5);
}

#[test]
fn a_pair_that_occurs_min_frequency_times_is_merged_and_a_rarer_one_is_not() {
    let (merges, _) = learn(&counts(&[("ab", 2), ("cd", 1)]), &TrainOptions { min_frequency: 2, ..options(100) });
    assert_eq!(merges, [(0, 1, 4)]);
}

#[test]
fn max_token_length_leaves_pairs_of_bytes_alone() {
    for max in [0, 1, 3] {
        let (merges, _) = learn(&counts(&[("abcd", 2)]), &TrainOptions { max_token_length: Some(max), ..options(100) });
        assert_eq!(merges, [(0, 1, 4), (2, 3, 5)], "{max}");
    }
}

#[test]
fn max_token_bytes_has_no_exceptions() {
    for (max, expected) in [
        (1, vec![]),
        (2, vec![(0, 1, 3)]),
        (3, vec![(0, 1, 3), (3, 2, 4)]),
        (4, vec![(0, 1, 3), (3, 2, 4)]),
        (6, vec![(0, 1, 3), (3, 2, 4), (4, 4, 5)]),
    ] {
        let options = TrainOptions { max_token_bytes: Some(max), ..options(100) };
        assert_eq!(learn(&counts(&[("abcabc", 2)]), &options).0, expected, "{max}");
    }
    let both = TrainOptions { max_token_bytes: Some(1), max_token_length: Some(9), ..options(100) };
    assert_eq!(learn(&counts(&[("abcabc", 2)]), &both).0, []);
}

#[test]
fn counts_beyond_32_bits_do_not_overflow() {
    // In 32 bits `ab` is negative and would never be merged, and `cd` wraps to 1.
    let counts = counts(&[("ab", (1 << 31) + 5), ("cd", (1 << 32) + 1), ("ef", 1 << 30)]);
    let (merges, _) = learn(&counts, &options(9));
    assert_eq!(merges, [(2, 3, 6), (0, 1, 7), (4, 5, 8)]);
}

#[test]
fn counts_that_overflow_32_bits_only_when_added_up_do_not_either() {
    let counts = counts(&[("xab", 1 << 31), ("yab", 1 << 31), ("zab", 1 << 31), ("cd", 3 << 30)]);
    let (merges, _) = learn(&counts, &options(8));
    assert_eq!(merges[0], (0, 1, 7));
}

fn of_documents(documents: &[&str], options: &TrainOptions) -> Result<Vec<Vec<u8>>, Error> {
    let mut documents = Some(documents.iter().map(|&document| document.to_owned()).collect());
    let source = Source::Memory(Box::new(move || Ok(documents.take())));
    let trained = train(source, options, &mut |_| ControlFlow::Continue(()))?;
    Ok(trained.vocab.iter().map(<[u8]>::to_vec).collect())
}

#[test]
fn the_text_of_a_special_token_in_the_corpus_is_ordinary_text() {
    let options = TrainOptions { special_tokens: vec!["<|end|>".to_owned()], ..options(100) };
    let tokens = of_documents(&["<|end|><|end|>"], &options).unwrap();
    assert_eq!(tokens[0], b"<|end|>");
    assert!(tokens[1..].iter().all(|token| token != b"<|end|>"));
    assert!(tokens.contains(&b"end".to_vec()) && tokens.contains(&b"|>".to_vec()));
}

#[test]
fn the_vocabulary_has_special_tokens_then_the_alphabet_then_merges() {
    let options = TrainOptions {
        initial_alphabet: true,
        special_tokens: vec!["<s>".to_owned(), "<s>".to_owned()],
        ..options(258)
    };
    let tokens = of_documents(&["ab ab"], &options).unwrap();
    assert_eq!(tokens.len(), 258);
    assert_eq!(
        (&tokens[0][..], &tokens[1][..], &tokens[256][..], &tokens[257][..]),
        (&b"<s>"[..], &b"!"[..], &[0xAD][..], &b"ab"[..])
    );
}

#[test]
fn a_vocabulary_smaller_than_the_alphabet_is_refused_with_the_numbers() {
    let options = TrainOptions { vocab_size: 256, ..TrainOptions::default() };
    let error = of_documents(&["text"], &options).unwrap_err();
    assert!(matches!(error, Error::Config(_)));
    assert_eq!(
        error.to_string(),
        "`vocab_size` is 256, but 1 special tokens and 256 bytes of the alphabet are 257 tokens before any merge\n\nhint: set \
         `vocab_size` to more than 257"
    );
    let few = TrainOptions { initial_alphabet: false, vocab_size: 2, ..TrainOptions::default() };
    assert!(matches!(of_documents(&["text"], &few), Err(Error::Config(_))));
}

#[test]
fn no_text_is_an_error_and_no_pairs_are_not() {
    assert!(matches!(of_documents(&["", ""], &options(10)), Err(Error::Data(_))));
    assert_eq!(of_documents(&["a", "b", "a"], &options(10)).unwrap(), [b"a", b"b"]);
}

#[test]
fn threads_and_the_order_of_documents_do_not_change_the_result() {
    let documents: Vec<String> =
        (0..4000).map(|number| format!("word{} again{} ", number % 37, number * number % 101)).collect();
    let mut documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let trained = |documents: &[&str], num_threads| {
        of_documents(documents, &TrainOptions { num_threads, ..options(200) }).unwrap()
    };
    let one = trained(&documents, 1);
    assert_eq!(one, trained(&documents, 3));
    documents.reverse();
    assert_eq!(one, trained(&documents, 2));
}

#[test]
fn the_callback_sees_both_phases_and_can_stop_training() {
    let document = "some words and more words ".repeat(200_000);
    let run = |answer: ControlFlow<()>| {
        let mut documents = Some(vec![document.clone(); 4]);
        let source = Source::Memory(Box::new(move || Ok(documents.take())));
        let mut phases = Vec::new();
        let options = TrainOptions { pretokenizer: Pattern::Cl100k.into(), ..TrainOptions::default() };
        let outcome = train(source, &options, &mut |progress| {
            phases.push((progress.phase, progress.unit));
            answer
        });
        (outcome.map(|trained| trained.merges.len()), phases)
    };
    let (outcome, phases) = run(ControlFlow::Continue(()));
    assert!(outcome.unwrap() > 5);
    assert_eq!(phases.last(), Some(&("merge", "merges")));
    let (outcome, phases) = run(ControlFlow::Break(()));
    // Where the machine is so fast that the work ends before the first report, there was nothing to stop.
    assert!(matches!(outcome, Err(Error::Interrupted)) || phases.len() == 1);
}
