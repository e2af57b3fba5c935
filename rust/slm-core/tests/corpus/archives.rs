//! Compressed files.

use super::{documents_of, error_of};
use slm_core::corpus::Documents;
use std::io::Write;

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("gzip in memory")
}

pub fn zstandard(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("zstd in memory");
    let written = encoder.include_checksum(true).and_then(|()| encoder.write_all(content));
    written.and_then(|()| encoder.finish()).expect("zstd in memory")
}

pub fn xz(content: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("xz in memory")
}

#[test]
fn archives_are_read_to_their_last_member() {
    for (name, compress) in [
        ("a.txt.gz", gzip as fn(&[u8]) -> Vec<u8>),
        ("a.zst", zstandard),
        ("a.xz", xz),
        ("a", gzip),
        ("a", zstandard),
        ("a", xz),
    ] {
        let members = [compress(b"one\ntw"), compress(b"o\nthree\n")].concat();
        assert_eq!(documents_of(name, &members, Documents::Line).unwrap(), ["one\n", "two\n", "three\n"], "{name}");
    }
    let lines = gzip(b"{\"text\": \"one\"}\n");
    assert_eq!(documents_of("a.jsonl.gz", &lines, Documents::File).unwrap(), ["one"]);
}

#[test]
fn truncated_archives_are_named_with_the_offset_of_the_text() {
    let numbers: Vec<String> = (0..200_000_u64).map(|number| (number * number % 7919).to_string()).collect();
    let text = numbers.join(" ");
    for (name, compress) in [("a.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.zst", zstandard), ("a.xz", xz)] {
        let whole = compress(text.as_bytes());
        for kept in [whole.len() / 2, whole.len() - 1, 6] {
            let error = error_of(name, &whole[..kept], Documents::File);
            assert!(error.contains(&format!("{name}` is truncated")) && error.contains("bytes of text"), "{error}");
        }
    }
}

#[test]
fn corrupt_archives_are_errors() {
    for (name, compress) in [("a.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.zst", zstandard), ("a.xz", xz)] {
        let mut whole = compress(&b"text ".repeat(1000));
        // The end of all three formats says what the text must be.
        let last = whole.len() - 1;
        whole[last] ^= 0xFF;
        let error = error_of(name, &whole, Documents::File);
        assert!(
            error.contains(&format!("{name}` is corrupt")) || error.contains(&format!("{name}` is truncated")),
            "{error}"
        );
        assert!(error_of(name, b"plain text", Documents::File).contains("does not begin as a"));
    }
}
