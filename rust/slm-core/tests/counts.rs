//! Counts as an artifact: the same bytes however they are made, broken off and added up, and nothing counted twice.

use slm_core::corpus::{Corpus, CorpusSpec, Documents, Source};
use slm_core::count::{Bounds, CountOptions, CountedTo, CountsArtifact, count_to, merge_counts};
use slm_core::error::{Error, Result};
use slm_core::pretokenize::{Pattern, Pretokenizer};
use slm_core::tokenizer::Tokenizer;
use slm_core::tokenizer_file::{of_training, to_json};
use slm_core::train::{TrainOptions, Trained, train, train_on_artifact};
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Four files with words, most of them rare; the second is one long document of several batches.
fn corpus(folder: &Path) -> Corpus {
    let mut state = 1_u64;
    for (i, num_words) in [20_000, 700_000, 0, 90_000].into_iter().enumerate() {
        let mut text = String::new();
        for _ in 0..num_words {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = (state >> 33) % 7_001 * ((state >> 60) + 1);
            text.push_str(if word.is_multiple_of(9) { "\n" } else { " " });
            text.push_str(&[&format!("{word:x}"), "é"].concat());
        }
        fs::write(folder.join(format!("{i}.txt")), text).expect("it is written");
    }
    open(folder, Documents::File)
}

fn open(folder: &Path, documents: Documents) -> Corpus {
    let paths = vec![folder.to_str().expect("a UTF-8 path").to_owned()];
    Corpus::open(&CorpusSpec { paths, documents, ..CorpusSpec::default() }).expect("it is there")
}

fn options(num_threads: usize, memory_bytes: usize, part_bytes: u64) -> CountOptions {
    CountOptions { pretokenizer: Pattern::Gpt2.into(), kept_out: Vec::new(), num_threads, memory_bytes, part_bytes }
}

fn count(corpus: &Corpus, out: &Path, options: &CountOptions) -> Result<CountedTo> {
    count_to(Source::Files(corpus), out, options, &mut |_| ControlFlow::Continue(()))
}

fn bytes(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("it is there"));
    entries
        .map(|entry| (entry.file_name().into_string().expect("UTF-8"), fs::read(entry.path()).expect("it is read")))
        .collect()
}

fn message<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn counts_are_the_same_bytes_for_any_threads_memory_and_parts_and_those_of_the_text() {
    let folder = TempDir::new().expect("a folder");
    let corpus = corpus(folder.path());
    let out = TempDir::new().expect("a folder");
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut text_bytes = 0;
    for file in corpus.files() {
        let text = fs::read_to_string(&file.path).expect("it is read");
        text_bytes += text.len() as u64;
        for pretoken in Pretokenizer::default().split(&text) {
            *expected.entry(pretoken.to_owned()).or_default() += 1;
        }
    }
    let mut all = Vec::new();
    for (i, options) in
        [options(1, 1 << 30, u64::MAX), options(3, 2 << 20, 300_000), options(2, 64 << 20, 1)].iter().enumerate()
    {
        let path = out.path().join(i.to_string());
        let counted = count(&corpus, &path, options).expect("it is counted");
        assert_eq!((counted.counted_bytes, counted.resumed_parts), (text_bytes, 0));
        let summary = counted.artifact.summary();
        assert_eq!(summary.unique_pretokens, expected.len() as u64);
        assert_eq!(summary.pretokens, expected.values().sum::<u64>());
        counted.artifact.verify(|_| Ok(())).expect("it is whole");
        all.push(bytes(&path));
        let again = count(&corpus, &path, options).expect("it is complete");
        assert_eq!((again.counted_bytes, bytes(&path)), (0, all[i].clone()));
    }
    assert_eq!(all[0].keys().collect::<Vec<_>>(), ["counts.run", "manifest.json"]);
    assert!(all.iter().all(|one| *one == all[0]));
}

#[test]
fn what_was_counted_before_an_error_or_a_stop_is_not_counted_again() {
    let folder = TempDir::new().expect("a folder");
    let out = TempDir::new().expect("a folder");
    let (whole, broken) = (out.path().join("whole"), out.path().join("broken"));
    let options = options(2, 16 << 20, 500_000);
    count(&corpus(folder.path()), &whole, &options).expect("it is counted");
    let last = folder.path().join("3.txt");
    let text = fs::read(&last).expect("it is read");
    let mut spoiled = text.clone();
    *spoiled.last_mut().expect("it has text") = 0xFF;
    fs::write(&last, spoiled).expect("it is written");
    let total: u64 = corpus_bytes(folder.path());
    for _ in 0..2 {
        let corpus = open(folder.path(), Documents::File);
        assert!(message(count(&corpus, &broken, &options)).contains("3.txt` is not UTF-8"));
        assert!(bytes(&broken).contains_key("journal.json"));
    }
    // The file that was not finished may be repaired; what comes before it may not change.
    fs::write(&last, text).expect("it is written");
    let corpus = open(folder.path(), Documents::File);
    let counted = count(&corpus, &broken, &options).expect("it is counted");
    assert!(counted.resumed_parts >= 4 && counted.started_over.is_none());
    assert!(counted.counted_bytes < total / 4, "{}", counted.counted_bytes);
    assert_eq!(bytes(&broken)["counts.run"], bytes(&whole)["counts.run"]);
}

fn corpus_bytes(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .expect("it is there")
        .map(|entry| entry.and_then(|entry| entry.metadata()).expect("it is there").len())
        .sum()
}

/// Counts until the journal has some parts, and stops as Ctrl-C does.
fn count_some(corpus: &Corpus, out: &Path, options: &CountOptions) {
    let outcome = count_to(Source::Files(corpus), out, options, &mut |_| {
        if out.join("journal.json").exists() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(outcome, Err(Error::Interrupted)));
}

#[test]
fn text_that_changed_behind_our_back_is_counted_from_the_beginning_and_said() {
    let folder = TempDir::new().expect("a folder");
    let out = TempDir::new().expect("a folder");
    let line = "some words of a long text, again and again\n".repeat(1 << 20);
    let path = folder.path().join("long.txt");
    fs::write(&path, &line).expect("it is written");
    let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("it has a time");
    let options = options(1, 16 << 20, 1 << 20);
    for (content, reason) in
        [(line.replacen("some", "same", 1), "the text of"), (line.clone() + "x", "files that were")]
    {
        let out = out.path().join(reason);
        count_some(&open(folder.path(), Documents::File), &out, &options);
        fs::write(&path, &content).expect("it is written");
        let file = fs::File::options().append(true).open(&path).expect("it is there");
        file.set_modified(modified).expect("its time is set");
        let corpus = open(folder.path(), Documents::File);
        let counted = count(&corpus, &out, &options).expect("it is counted");
        assert!(counted.started_over.expect("it says so").starts_with(reason));
        assert_eq!(counted.artifact.read_summary().text_bytes, content.len() as u64);
        let anew = out.with_extension("anew");
        count(&corpus, &anew, &options).expect("it is counted");
        assert_eq!(bytes(&out), bytes(&anew));
        fs::write(&path, &line).expect("it is written");
        file.set_modified(modified).expect("its time is set");
    }
}

#[test]
fn other_settings_do_not_go_on_with_what_is_there() {
    let folder = TempDir::new().expect("a folder");
    let out = TempDir::new().expect("a folder");
    fs::write(folder.path().join("a.txt"), "some words of a long text, again and again\n".repeat(1 << 20))
        .expect("it is written");
    let options = options(1, 16 << 20, 1 << 20);
    let corpus = open(folder.path(), Documents::File);
    count_some(&corpus, out.path(), &options);
    let before = bytes(out.path());
    let other = CountOptions { pretokenizer: Pattern::Cl100k.into(), ..options.clone() };
    for (corpus, options) in [(&corpus, &other), (&open(folder.path(), Documents::Line), &options)] {
        let outcome = count(corpus, out.path(), options);
        assert!(
            message(outcome)
                .contains("holds counts that are not finished, of a corpus that is read or split in another way")
        );
    }
    let documents = Source::Memory(Box::new(|| Ok(None)));
    let outcome = count_to(documents, out.path(), &options, &mut |_| ControlFlow::Continue(()));
    assert!(message(outcome).contains("not finished"));
    assert_eq!(bytes(out.path()), before);
    count(&corpus, out.path(), &options).expect("it is finished");
    assert!(message(count(&corpus, out.path(), &other)).contains("holds counts already, of other files or settings"));
}

#[test]
fn counts_of_parts_add_up_to_the_counts_of_all_whatever_their_order() {
    let folder = TempDir::new().expect("a folder");
    let out = TempDir::new().expect("a folder");
    let corpus = corpus(folder.path());
    let options = options(2, 8 << 20, 1 << 20);
    count(&corpus, &out.path().join("all"), &options).expect("it is counted");
    let mut parts = Vec::new();
    for i in [0, 1, 3] {
        let part = out.path().join(i.to_string());
        count(&open(&folder.path().join(format!("{i}.txt")), Documents::File), &part, &options).expect("it is counted");
        parts.push(part);
    }
    let merge = |inputs: &[PathBuf], name: &str, memory_bytes| {
        let merged = out.path().join(name);
        merge_counts(inputs, &merged, memory_bytes, &mut |_| ControlFlow::Continue(())).expect("they add up");
        merged
    };
    let [a, b, c] = parts.clone().try_into().expect("three");
    let merged = merge(&[a.clone(), b.clone(), c.clone()], "abc", 1 << 20);
    assert_eq!(bytes(&merged)["counts.run"], bytes(&out.path().join("all"))["counts.run"]);
    let two = merge(&[c, a], "ca", 0);
    assert_eq!(bytes(&merge(&[b.clone(), two], "b-ca", 0)), bytes(&merged));
    let all = CountsArtifact::open(&merged).expect("it is complete").read_summary();
    assert_eq!((all.files, all.documents), (3, 3));
    assert_eq!(all.text_bytes, corpus_bytes(folder.path()));

    let occupied = merge_counts(&parts, &merged, 0, &mut |_| ControlFlow::Continue(()));
    assert!(message(occupied).contains("holds counts already"));
    let other = out.path().join("other");
    count(&corpus, &other, &CountOptions { pretokenizer: Pattern::Qwen2.into(), ..options }).expect("it is counted");
    let outcome = merge_counts(&[b, other], &out.path().join("never"), 0, &mut |_| ControlFlow::Continue(()));
    let message = message(outcome);
    assert!(message.contains(r#"{"pattern":"gpt2"}"#) && message.contains(r#"{"pattern":"qwen2"}"#), "{message}");
    assert!(!out.path().join("never").exists());
}

#[test]
fn damaged_counts_are_named_with_the_place() {
    let folder = TempDir::new().expect("a folder");
    let out = TempDir::new().expect("a folder");
    let corpus = corpus(folder.path());
    let artifact = count(&corpus, out.path(), &options(1, 8 << 20, u64::MAX)).expect("it is counted").artifact;
    let path = out.path().join("counts.run");
    let whole = fs::read(&path).expect("it is read");
    for at in [0, 20, 40, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 4;
        fs::write(&path, changed).expect("it is written");
        let message = message(artifact.verify(|_| Ok(())));
        assert!(message.contains("counts.run` is damaged: the block at byte "), "{message}");
    }
    fs::write(&path, &whole[..whole.len() - 9]).expect("it is written");
    let expected = format!("counts.run` ends at byte {}, its manifest says {}", whole.len() - 9, whole.len());
    assert!(message(CountsArtifact::open(out.path())).contains(&expected));

    let manifest = out.path().join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("it is read");
    for (from, to, expected) in [
        (r#""version": 1"#, r#""version": 2"#, "its version is 2, this program reads version 1"),
        ("slm.counts", "slm.shards", r#"its format is "slm.shards""#),
        ("gpt2", "gpt5", r#"its `pretokenizer` is {"pattern":"gpt5"}"#),
        (r#""pretokens""#, r#""tokens""#, "missing field `pretokens`"),
        ("{", "[", "expected"),
    ] {
        fs::write(&manifest, text.replacen(from, to, 1)).expect("it is written");
        let message = message(CountsArtifact::open(out.path()));
        assert!(message.contains("manifest.json` is no manifest of counts") && message.contains(expected), "{message}");
    }
    fs::remove_file(&manifest).expect("it is removed");
    assert!(message(CountsArtifact::open(out.path())).contains("holds no finished counts"));
}

/// What `training.json` says, without what depends on the machine and the memory.
fn record(tokenizer: &Tokenizer) -> serde_json::Value {
    let mut record: serde_json::Value =
        serde_json::from_str(tokenizer.parts().training.as_deref().expect("it has one")).expect("JSON");
    for name in ["seconds", "passes", "spilled_bytes", "spill_peak_bytes", "peak_memory_bytes"] {
        record[name] = serde_json::Value::Null;
    }
    record
}

#[test]
fn training_on_counts_is_training_on_the_text_and_smaller_vocabularies_are_prefixes() {
    let folder = TempDir::new().expect("a folder");
    let out = TempDir::new().expect("a folder");
    let corpus = corpus(folder.path());
    let artifact = count(&corpus, out.path(), &options(2, 8 << 20, 1 << 20)).expect("it is counted").artifact;
    for memory_bytes in [1 << 19, 1 << 30] {
        let spill_dir = TempDir::new().expect("a folder");
        let bounds = Some(Bounds { memory_bytes, spill_dir: spill_dir.path().to_owned(), max_spill_bytes: None });
        let special_tokens = vec!["<s>".to_owned(), "10".to_owned(), "<t>".to_owned()];
        let options = |vocab_size| TrainOptions {
            vocab_size,
            initial_alphabet: false,
            special_tokens: special_tokens.clone(),
            bounds: bounds.clone(),
            num_threads: 2,
            ..TrainOptions::default()
        };
        let made = |trained: Trained, vocab_size| of_training(trained, &options(vocab_size), None).expect("it is made");
        let large = train_on_artifact(&artifact, &options(400), &mut |_| ControlFlow::Continue(())).expect("it trains");
        assert_eq!(large.passes > 1, memory_bytes < 1 << 20);
        let large = made(large, 400);
        for vocab_size in [30, 31, 400] {
            let trained = train(Source::Files(&corpus), &options(vocab_size), &mut |_| ControlFlow::Continue(()));
            let expected = made(trained.expect("it trains"), vocab_size);
            let found = large.prefix(vocab_size).expect("it is smaller");
            assert_eq!(found.fingerprint(), expected.fingerprint());
            assert_eq!(to_json(&found).expect("it is written"), to_json(&expected).expect("it is written"));
            assert_eq!(record(&found), record(&expected));
        }
        assert!(message(large.prefix(401)).contains("`vocab_size` is 401, the tokenizer was trained for 400"));
        assert!(message(large.prefix(2)).contains("token 2 (`<t>`) is not made by merging"));
    }
    let other = TrainOptions { pretokenizer: Pattern::Cl100k.into(), ..TrainOptions::default() };
    let outcome = train_on_artifact(&artifact, &other, &mut |_| ControlFlow::Continue(()));
    assert!(message(outcome).contains("split by the pattern `gpt2`, `pattern` is `cl100k`"));
}
