//! Going on from a tokenizer, against a naive trainer that replays its merges and goes on with the plain loop.

mod cases;

use cases::num_cases;
use proptest::prelude::*;
use slm_core::byte_chars::bytes_of_chars;
use slm_core::count::{Bounds, PretokenCounts};
use slm_core::pretokenize::Pattern;
use slm_core::tokenizer::{Parts, Tokenizer};
use slm_core::train::{TrainOptions, train_on_counts};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

type Counts = BTreeMap<Vec<u8>, u64>;
type Merge = (u32, u32, u32);

fn learn(counts: &Counts, options: &TrainOptions) -> Tokenizer {
    let mut table = PretokenCounts::default();
    for (pretoken, &count) in counts {
        table.add(pretoken, count);
    }
    let (vocab, merges) = train_on_counts(table, options, &mut |_| ControlFlow::Continue(())).expect("it trains");
    Tokenizer::new(Pattern::Gpt2.into(), Parts { vocab, merges, ..Parts::default() }).expect("it is made")
}

fn merges(tokenizer: &Tokenizer) -> Vec<Merge> {
    tokenizer.merges().iter().map(|merge| (merge.left, merge.right, merge.produced)).collect()
}

fn apply(word: &mut Vec<u32>, (left, right, produced): Merge) {
    let mut at = 0;
    while at + 1 < word.len() {
        if (word[at], word[at + 1]) == (left, right) {
            word.splice(at..at + 2, [produced]);
        }
        at += 1;
    }
}

/// The specification: `old` has the bytes of each token by id and those of special tokens that merges may make.
fn naive(old: &Tokenizer, added: &[String], counts: &Counts, options: &TrainOptions) -> (Vec<Merge>, usize) {
    let specials: Vec<String> = old.vocab().special_tokens().iter().map(|special| special.content.clone()).collect();
    let num_old = old.vocab().len();
    let mut bytes_of: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut size = u32::try_from(num_old).expect("it is small");
    for (id, token) in (0..).zip(old.vocab().iter()) {
        if !old.vocab().special_tokens().iter().any(|special| special.id == id) {
            bytes_of.insert(id, token.to_vec());
        }
    }
    let mut taken: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for special in old.vocab().special_tokens() {
        taken.extend(bytes_of_chars(&special.content).map(|bytes| (bytes, special.id)));
    }
    for content in added.iter().filter(|content| !specials.contains(content)) {
        taken.extend(bytes_of_chars(content).map(|bytes| (bytes, size)));
        size += 1;
    }
    // All 256 bytes are there already.
    let mut byte_ids = BTreeMap::new();
    for (&id, token) in &bytes_of {
        if let [byte] = token[..] {
            byte_ids.insert(byte, id);
        }
    }
    for (bytes, &id) in &taken {
        if let [byte] = bytes[..] {
            byte_ids.insert(byte, id);
            bytes_of.insert(id, vec![byte]);
        }
    }
    let mut words: Vec<(Vec<u32>, u64)> =
        counts.iter().map(|(word, &count)| (word.iter().map(|byte| byte_ids[byte]).collect(), count)).collect();
    let mut merges = merges(old);
    for &merge in &merges {
        let bytes = [&bytes_of[&merge.0][..], &bytes_of[&merge.1]].concat();
        bytes_of.insert(merge.2, bytes);
        for (word, _) in &mut words {
            apply(word, merge);
        }
    }
    while (size as usize) < options.vocab_size {
        let mut pairs: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for (word, count) in &words {
            for pair in word.windows(2) {
                *pairs.entry((pair[0], pair[1])).or_default() += count;
            }
        }
        let length = |&(left, right): &(u32, u32)| bytes_of[&left].len() + bytes_of[&right].len();
        pairs.retain(|pair, _| length(pair) == 2 || options.max_token_length.is_none_or(|max| length(pair) < max));
        let Some((&(left, right), &count)) = pairs.iter().rev().max_by_key(|(_, count)| **count) else { break };
        if count < options.min_frequency.max(1) {
            break;
        }
        let bytes = [&bytes_of[&left][..], &bytes_of[&right]].concat();
        let produced = taken.get(&bytes).copied().unwrap_or(size);
        size = size.max(produced + 1);
        bytes_of.insert(produced, bytes);
        merges.push((left, right, produced));
        for (word, _) in &mut words {
            apply(word, (left, right, produced));
        }
    }
    (merges, size as usize)
}

fn corpora() -> impl Strategy<Value = Counts> {
    let letter = prop::sample::select(b"ab c".to_vec());
    let run = (letter.clone(), 1..7_usize).prop_map(|(letter, times)| vec![letter; times]);
    let pretoken = prop_oneof![
        3 => prop::collection::vec(letter, 1..12),
        1 => prop::collection::vec(run, 1..6).prop_map(|runs| runs.concat()),
    ];
    prop::collection::btree_map(pretoken, prop_oneof![1..4_u64, 1..40_u64], 0..30)
}

fn options(vocab_size: usize, special_tokens: &[&str]) -> TrainOptions {
    let special_tokens = special_tokens.iter().map(|&content| content.to_owned()).collect();
    TrainOptions { vocab_size, special_tokens, ..TrainOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(num_cases(600)))]

    #[test]
    fn going_on_from_a_tokenizer_equals_replaying_its_merges_and_going_on(
        (first, second) in (corpora(), corpora()),
        (num_first, num_second) in (0..30_usize, 0..60_usize),
        min_frequency in 0..=3_u64,
        max_token_length in prop::option::weighted(0.3, 0..8_usize),
        special in prop::sample::select(vec![&["<s>"][..], &["a", "<s>"], &["ab"], &[]]),
        added in prop::sample::select(vec![&["<t>"][..], &["bcbcaaac"], &[]]),
        // Without a limit each pass fills a sketch of 32 MiB, so few do.
        memory_bytes in prop::option::weighted(0.98, 0..20_000_usize),
        num_threads in 1..3_usize,
    ) {
        let old = learn(&first, &options(special.len() + 256 + num_first, special));
        let spill_dir = tempfile::tempdir().expect("it is made");
        let bounds = memory_bytes.map(|memory_bytes| Bounds {
            memory_bytes, spill_dir: spill_dir.path().to_owned(), max_spill_bytes: None
        });
        let options = TrainOptions { min_frequency, max_token_length, ..options(old.vocab().len() + 1 + num_second, added) };
        let expected = naive(&old, &options.special_tokens, &second, &options);
        let extended = TrainOptions {
            extend: Some(old.renewed().expect("it is made")), bounds, num_threads, ..options.clone()
        };
        let found = learn(&second, &extended);
        prop_assert_eq!((merges(&found), found.vocab().len()), expected);
        prop_assert!(old.vocab().iter().eq(found.vocab().iter().take(old.vocab().len())));
    }

    #[test]
    fn going_on_with_the_same_text_equals_one_training(counts in corpora(), sizes in (0..40_usize, 0..40_usize)) {
        let spill_dir = tempfile::tempdir().expect("it is made");
        let bounds = Bounds { memory_bytes: 10_000, spill_dir: spill_dir.path().to_owned(), max_spill_bytes: None };
        let small = options(257 + sizes.0, &["<s>"]);
        let large = options(257 + sizes.0 + sizes.1, &["<s>"]);
        let old = Arc::new(learn(&counts, &small));
        let extended = learn(&counts, &TrainOptions { extend: Some(old), bounds: Some(bounds), ..large.clone() });
        let whole = learn(&counts, &large);
        prop_assert_eq!(extended.fingerprint(), whole.fingerprint());
    }
}

#[test]
fn what_cannot_be_extended_is_refused_by_name() {
    let counts: Counts = [(b"abab".to_vec(), 7)].into();
    let old = Arc::new(learn(&counts, &options(260, &["<s>"])));
    let fails = |options: TrainOptions| {
        let options = TrainOptions { extend: Some(Arc::clone(&old)), ..options };
        train_on_counts(PretokenCounts::default(), &options, &mut |_| ControlFlow::Continue(()))
            .expect_err("it fails")
            .to_string()
    };
    assert!(fails(options(258, &[])).contains("`vocab_size` is 258, the tokenizer to extend has 259 tokens"));
    assert!(fails(options(300, &["ab"])).contains("`ab` is token 257 of the tokenizer to extend"));
    let other = TrainOptions { pretokenizer: Pattern::Qwen2.into(), ..options(300, &[]) };
    assert!(fails(other).contains("splits by the pattern `gpt2`, `pattern` is `qwen2`"));
}
