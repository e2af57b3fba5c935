//! What cannot be read, left out.

use super::archives::{gzip, xz, zstandard};
use super::{documents, read, spec};
use slm_core::corpus::{
    Corpus, CorpusSpec, Documents, InvalidUtf8, OnError, ReadSummary, Reading, Skipped, Source, read_batches_from,
};
use slm_core::error::Error;
use slm_core::pretokenize::{Pattern, Pretokenizer};
use slm_core::progress::Stop;
use std::fs;
use std::io::Write;
use tempfile::TempDir;

/// The documents of files with these contents, without what cannot be read, and what was counted.
fn lenient(files: &[(&str, &[u8])], how: Documents, invalid_utf8: InvalidUtf8) -> (Vec<String>, ReadSummary) {
    let folder = TempDir::new().expect("a folder");
    let paths = files.iter().map(|(name, content)| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file");
        path.to_str().expect("a UTF-8 path").to_owned()
    });
    let paths = paths.collect();
    let spec = CorpusSpec { paths, on_error: OnError::Skip, invalid_utf8, ..spec(folder.path(), how) };
    let corpus = Corpus::open(&spec).expect("the files are there");
    let (batches, summary) = read((&corpus).into(), Pattern::Gpt2).expect("all is left out or read");
    (documents(&batches), summary)
}

#[test]
fn of_a_broken_archive_what_is_before_the_break_is_read() {
    let lines: Vec<String> = (0..100_000_u64).map(|number| format!("{}\n", number * number % 7919)).collect();
    for (name, compress) in [("a.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.zst", zstandard), ("a.xz", xz)] {
        let whole = compress(lines.concat().as_bytes());
        for kept in [whole.len() / 2, whole.len() - 1, 6] {
            let files = [(name, &whole[..kept]), ("b.txt", b"behind it\n")];
            let (mut found, summary) = lenient(&files, Documents::Line, InvalidUtf8::Error);
            assert_eq!(found.pop().as_deref(), Some("behind it\n"), "{name}");
            assert_eq!(found, lines[..found.len()], "{name}");
            assert_eq!(summary.skipped, Skipped { unreadable: 1, ..Skipped::default() });
            assert_eq!(summary.skipped_by_source, [summary.skipped]);
            assert!(summary.complaints[0].contains(&format!("{name}` is truncated")), "{:?}", summary.complaints);
            // A document that goes up to the break is left out as a whole.
            let (found, _) = lenient(&files, Documents::File, InvalidUtf8::Replace);
            assert_eq!(found, ["behind it\n"]);
        }
    }
}

#[test]
fn only_the_first_complaints_are_kept_and_all_are_counted_by_source() {
    let bad = "no object\n".repeat(20) + "{\"text\": \"fine\"}\n";
    let files = [("a.jsonl", bad.as_bytes()), ("b.jsonl", b"{\"text\": \"fine\"}"), ("c.jsonl", bad.as_bytes())];
    let (found, summary) = lenient(&files, Documents::File, InvalidUtf8::Error);
    assert_eq!(found, ["fine"; 3]);
    assert_eq!(summary.complaints.len(), 5);
    let malformed: Vec<u64> = summary.skipped_by_source.iter().map(|skipped| skipped.malformed).collect();
    assert_eq!(malformed, [20, 0, 20]);
    assert_eq!(summary.skipped.malformed, 40);
}

#[test]
fn a_window_that_needs_more_memory_than_a_decoder_may_take_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.zst");
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("zstd in memory");
    encoder.window_log(27).and_then(|()| encoder.long_distance_matching(true)).expect("it is a window");
    encoder.write_all(&b"some text ".repeat(10_000)).expect("in memory");
    fs::write(&path, encoder.finish().expect("in memory")).expect("a file");
    let corpus = Corpus::open(&spec(&path, Documents::File)).expect("it is there");
    let read_within = |max_decoder_bytes| {
        let reading = Reading { max_decoder_bytes, ..Reading::default() };
        let (pretokenizer, stop) = (Pretokenizer::default(), Stop::default());
        read_batches_from(Source::Files(&corpus), &pretokenizer, reading, &stop, &mut |_, _| Ok(()))
    };
    assert_eq!(read_within(128 << 20).expect("the window fits").text_bytes, 100_000);
    let error = match read_within(100 << 20) {
        Err(Error::Data(error)) => error,
        other => panic!("not an error about data: {other:?}"),
    };
    assert!(error.contains("a.zst` needs more than 100 MiB") && error.contains("raise `memory_limit`"), "{error}");
}
