//! Paths, directories, globs and lists of them to the list of files.

use crate::corpus::{CorpusFile, Format, STANDARD_INPUT};
use crate::error::{Error, Result};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// The files behind `paths`, in the order given; those of a directory or a glob in order of their names.
pub(super) fn find(paths: &[String], format: Format) -> Result<Vec<CorpusFile>> {
    let mut files: Vec<CorpusFile> = Vec::new();
    for (source, path) in (0..).zip(paths) {
        let before = files.len();
        match path.strip_prefix('@') {
            Some(list) => {
                for path in read_list(list)?.lines().filter(|line| !line.is_empty()) {
                    find_one(path, format, &mut files)?;
                }
            }
            None => find_one(path, format, &mut files)?,
        }
        for file in &mut files[before..] {
            file.source = source;
        }
    }
    if files.iter().filter(|file| file.path == Path::new(STANDARD_INPUT)).count() > 1 {
        return Err(Error::Config(
            "standard input, `-`, is given more than once\n\nhint: a file of that name is `./-`".to_owned(),
        ));
    }
    if files.is_empty() {
        let place = match paths {
            [] => "no path was given".to_owned(),
            _ => format!(
                "nothing but hidden files or empty lists in {}",
                paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        return Err(Error::Data(format!(
            "the corpus has no files: {place}\n\nhint: give text, jsonl or parquet files, directories that hold some, or globs such as `docs/**/*.txt`"
        )));
    }
    Ok(files)
}

fn find_one(path: &str, format: Format, files: &mut Vec<CorpusFile>) -> Result<()> {
    if path == STANDARD_INPUT {
        let format = if format == Format::Auto { Format::Text } else { format };
        return push(CorpusFile { path: PathBuf::from(path), bytes: 0, format, is_pipe: true, source: 0 }, files);
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => walk(Path::new(path), format, files),
        Ok(metadata) => push(file(PathBuf::from(path), &metadata, format), files),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.contains(['*', '?', '[']) => {
            expand(path, format, files)
        }
        Err(error) => Err(Error::io(path)(error)),
    }
}

/// Adds a file, unless it cannot be read in the way it has to be.
fn push(file: CorpusFile, files: &mut Vec<CorpusFile>) -> Result<()> {
    if file.is_pipe && file.format == Format::Parquet {
        return Err(Error::Config(format!(
            "`{}` is to be read as Parquet, which begins at the end of a file, and it is no regular file\n\nhint: store it first",
            file.path.display()
        )));
    }
    files.push(file);
    Ok(())
}

/// The text of a list of paths, of which there is one a line. A path in it that begins with `@` is a path like any other.
fn read_list(path: &str) -> Result<String> {
    let content = fs::read(path).map_err(Error::io(path))?;
    String::from_utf8(content).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::Data(format!(
            "`{path}` is not a list of paths: it is not UTF-8 at offset {at}\n\nhint: `@` before a path says that the file lists \
             the paths to read, one a line; for a file whose own name begins with it, write `./@`"
        ))
    })
}

fn file(path: PathBuf, metadata: &Metadata, format: Format) -> CorpusFile {
    let format = match format {
        Format::Auto => format_of_name(&path),
        given => given,
    };
    let is_pipe = !metadata.is_file();
    CorpusFile { path, bytes: if is_pipe { 0 } else { metadata.len() }, format, is_pipe, source: 0 }
}

fn format_of_name(path: &Path) -> Format {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = [".gz", ".zst", ".xz"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((_, "jsonl" | "ndjson")) => Format::Jsonl,
        Some((_, "parquet")) => Format::Parquet,
        _ => Format::Text,
    }
}

/// The files below a directory. Links to files count, links to directories do not, as they may lead in circles.
fn walk(directory: &Path, format: Format, files: &mut Vec<CorpusFile>) -> Result<()> {
    let entries =
        fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(Error::io(directory))?;
    let mut paths: Vec<PathBuf> =
        entries.into_iter().map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
    paths.sort_unstable();
    for path in paths {
        let is_link = fs::symlink_metadata(&path).map_err(Error::io(&path))?.is_symlink();
        let metadata = fs::metadata(&path).map_err(Error::io(&path))?;
        if metadata.is_file() {
            files.push(file(path, &metadata, format));
        } else if metadata.is_dir() && !is_link {
            walk(&path, format, files)?;
        }
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// The files that a glob matches; wildcards do not match hidden names.
fn expand(pattern: &str, format: Format, files: &mut Vec<CorpusFile>) -> Result<()> {
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let matches = glob::glob_with(pattern, options).map_err(|error| {
        Error::Config(format!("`{pattern}` is not a glob: {error}\n\nhint: write `[[]` for a bracket in a file name"))
    })?;
    let before = files.len();
    for path in matches {
        let path = path.map_err(|error| {
            let path = error.path().to_owned();
            Error::io(path)(error.into())
        })?;
        let metadata = fs::metadata(&path).map_err(Error::io(&path))?;
        if metadata.is_file() {
            files.push(file(path, &metadata, format));
        }
    }
    if files.len() == before {
        return Err(Error::io(pattern)(io::Error::new(io::ErrorKind::NotFound, "no file matches this glob")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[CorpusFile], root: &Path) -> Vec<String> {
        files.iter().map(|file| file.path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/")).collect()
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a/c.jsonl", "a/.hidden", "a/B.NDJSON.gz", ".git/config", "d.jsonl.zst"] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        root
    }

    #[test]
    fn a_directory_is_read_in_order_of_names_without_hidden_entries() {
        let root = tree();
        let files = find(&[root.path().to_str().unwrap().to_owned()], Format::Auto).unwrap();
        assert_eq!(names(&files, root.path()), ["a/B.NDJSON.gz", "a/c.jsonl", "b.txt", "d.jsonl.zst"]);
        assert_eq!(
            files.iter().map(|file| file.format).collect::<Vec<_>>(),
            [Format::Jsonl, Format::Jsonl, Format::Text, Format::Jsonl]
        );
        assert_eq!(files[2].bytes, 5);
    }

    #[test]
    fn a_glob_finds_files_below_and_paths_stay_in_the_order_given() {
        let root = tree();
        let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
        let files = find(&[path("d.jsonl.zst"), path("**/*.jsonl"), path("b.txt")], Format::Text).unwrap();
        assert_eq!(names(&files, root.path()), ["d.jsonl.zst", "a/c.jsonl", "b.txt"]);
        assert!(files.iter().all(|file| file.format == Format::Text));
    }

    #[test]
    fn a_missing_path_and_a_glob_without_matches_are_not_found() {
        let root = tree();
        for name in ["none.txt", "*.csv"] {
            let path = root.path().join(name);
            let error = find(&[path.to_str().unwrap().to_owned()], Format::Auto).unwrap_err();
            assert!(
                matches!(&error, Error::Io { path: named, source } if *named == path && source.kind() == io::ErrorKind::NotFound)
            );
        }
    }

    #[test]
    fn no_files_at_all_are_an_error_that_names_the_paths() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(".hidden"), "text").unwrap();
        let path = root.path().to_str().unwrap().to_owned();
        let error = find(std::slice::from_ref(&path), Format::Auto).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the corpus has no files: nothing but hidden files or empty lists in `{path}`")),
            "{error}"
        );
        assert!(find(&[], Format::Auto).unwrap_err().to_string().contains("no path was given"));
    }
}
