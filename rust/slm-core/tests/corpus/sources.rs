//! Where files and documents come from.

use super::archives::gzip;
use super::{documents, read, spec};
use slm_core::corpus::{Corpus, CorpusSpec, Documents, InvalidUtf8, read_batches};
use slm_core::error::Error;
use slm_core::pretokenize::{Pattern, Pretokenizer};
use slm_core::progress::Stop;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

#[test]
fn a_list_names_the_files_to_read() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["b.txt", "a.txt", "@c.txt"] {
        fs::write(path(name), name).unwrap();
    }
    fs::write(path("list"), format!("{}\r\n\n{}\n{}", path("b.txt"), path("a*"), path("@c.txt"))).unwrap();
    let open = |list: String| Corpus::open(&CorpusSpec { paths: vec![list], ..CorpusSpec::default() });
    let (batches, _) = read((&open(format!("@{}", path("list"))).unwrap()).into(), Pattern::Gpt2).unwrap();
    assert_eq!(documents(&batches), ["b.txt", "a.txt", "@c.txt"]);
    assert!(
        matches!(open(format!("@{}", path("none"))), Err(Error::Io { path: named, .. }) if named == Path::new(&path("none")))
    );
    fs::write(path("list"), b"\xFF").unwrap();
    assert!(matches!(open(format!("@{}", path("list"))), Err(Error::Data(_))));
}

#[test]
fn standard_input_is_given_once_at_most() {
    let twice = CorpusSpec { paths: vec!["-".into(), "-".into()], ..CorpusSpec::default() };
    assert!(matches!(Corpus::open(&twice), Err(Error::Config(_))));
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_and_waiting_for_it_can_be_stopped() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let corpus = Corpus::open(&CorpusSpec { invalid_utf8: InvalidUtf8::Skip, ..spec(&path, Documents::Line) }).unwrap();
    let write = |content: Vec<u8>| {
        let path = path.clone();
        std::thread::spawn(move || drop(fs::write(path, content)))
    };
    let writer = write(gzip(b"one\n\xFF\ntwo\n"));
    let (batches, _) = read((&corpus).into(), Pattern::Gpt2).unwrap();
    assert_eq!(documents(&batches), ["one\n", "two\n"]);
    writer.join().unwrap();

    let writer = write(b"long ".repeat(2_000_000));
    let error = read((&corpus).into(), Pattern::Gpt2).unwrap_err().to_string();
    assert!(error.contains("cannot be read twice"), "{error}");
    writer.join().unwrap();

    let stop = Stop::default();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_batches((&corpus).into(), &Pretokenizer::default(), &stop, &mut |_| Ok(())));
        std::thread::sleep(std::time::Duration::from_millis(50));
        stop.request();
        assert!(matches!(reader.join().unwrap(), Err(Error::Interrupted)));
    });
}

#[test]
fn a_missing_file_is_not_found_under_its_path() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("none.txt");
    let error = Corpus::open(&spec(&path, Documents::File)).unwrap_err();
    assert!(
        matches!(error, Error::Io { path: named, source } if named == path && source.kind() == std::io::ErrorKind::NotFound)
    );
}
