//! Whether a directory may be built in: only one that is empty, or that a build left unfinished.

use super::identities::IDENTITIES_FILE;
use super::journal::JOURNAL_FILE;
use super::manifest::{FORMAT, Manifest, VERSION};
use super::{MANIFEST_FILE, TOKENIZER_DIRECTORY};
use crate::error::{Error, Result};
use crate::io::durable::{self, PARTIAL_SUFFIX};
use crate::io::lock::LOCK_FILE;
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Says that a build began here and has not ended.
const MARKER_FILE: &str = ".unfinished";

/// Bytes that a manifest may have: about 300,000 shards.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// What a directory is to a build.
#[derive(Debug)]
pub(super) enum State {
    /// A finished shard directory.
    Complete(Box<Manifest>),
    /// Nothing there yet, or what an interrupted build left.
    Open,
}

/// Looks at a directory without changing it.
pub(super) fn inspect(directory: &Path) -> Result<State> {
    let manifest_path = directory.join(MANIFEST_FILE);
    if manifest_path.exists() {
        return read_manifest(&manifest_path).map(|manifest| State::Complete(Box::new(manifest)));
    }
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::Open),
        entries => entries.map_err(Error::io(directory))?,
    };
    if directory.join(MARKER_FILE).exists() {
        return Ok(State::Open);
    }
    let mut foreign = entries.filter(|entry| !entry.as_ref().is_ok_and(|entry| entry.file_name() == LOCK_FILE));
    match foreign.next() {
        None => Ok(State::Open),
        Some(entry) => {
            let entry = entry.map_err(Error::io(directory))?.file_name();
            Err(Error::Config(format!(
                "`{}` is not empty and no shard directory (it holds `{}`), so nothing was written\n\n\
                 hint: choose another output directory",
                directory.display(),
                entry.display()
            )))
        }
    }
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    let refuse = |reason: String| {
        Error::Data(format!(
            "`{}` is not a manifest that this version reads: {reason}\n\n\
             hint: choose another output directory, or remove this one to build it anew",
            path.display()
        ))
    };
    if size > MAX_MANIFEST_BYTES {
        return Err(refuse(format!("it has {size} bytes, at most {MAX_MANIFEST_BYTES} are allowed")));
    }
    let content = fs::read(path).map_err(Error::io(path))?;
    let manifest: Manifest = serde_json::from_slice(&content).map_err(|error| refuse(error.to_string()))?;
    if manifest.format != FORMAT || manifest.version != VERSION {
        let (format, version) = (&manifest.format, manifest.version);
        return Err(refuse(format!("its format is `{format}` version {version}, not `{FORMAT}` version {VERSION}")));
    }
    Ok(manifest)
}

/// Makes the directory ours and empty, but for the marker and the files named `kept`.
pub(super) fn begin(directory: &Path, kept: &HashSet<String>) -> Result<()> {
    durable::write_file(&directory.join(MARKER_FILE), b"a build of shards began here and has not ended\n")?;
    for name in [JOURNAL_FILE, IDENTITIES_FILE] {
        if !kept.contains(name) {
            durable::remove_if_exists(&directory.join(name))?;
        }
    }
    remove(directory, |name| {
        // Files of other names are not ours, whoever put them beside an unfinished build.
        let is_array = Path::new(name).extension().is_some_and(|extension| extension == "npy");
        let is_shard = name.starts_with("shard-") && (is_array || name.ends_with(PARTIAL_SUFFIX));
        (is_shard || is_staged(name)) && !kept.contains(name)
    })?;
    let tokenizer = directory.join(TOKENIZER_DIRECTORY);
    if tokenizer.exists() { remove(&tokenizer, is_staged) } else { Ok(()) }
}

/// Whether a file was on its way to its name when its process was killed.
fn is_staged(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX)
}

fn remove(directory: &Path, is_to_go: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(directory).map_err(Error::io(directory))? {
        let entry = entry.map_err(Error::io(directory))?;
        if is_to_go(&entry.file_name().to_string_lossy()) {
            durable::remove_if_exists(&entry.path())?;
        }
    }
    Ok(())
}

/// Writes the manifest, which finishes the directory.
pub(super) fn finish(directory: &Path, manifest: &Manifest) -> Result<()> {
    let mut content = serde_json::to_vec_pretty(manifest)
        .map_err(|error| Error::Data(format!("the manifest cannot be written as JSON: {error}")))?;
    content.push(b'\n');
    durable::flush_directory(&directory.join(TOKENIZER_DIRECTORY))?;
    durable::flush_directory(directory)?;
    durable::write_file(&directory.join(MANIFEST_FILE), &content)?;
    tidy(directory)
}

/// Whether there is something in a finished directory that only a build needs.
pub(super) fn has_remains(directory: &Path) -> bool {
    [LOCK_FILE, IDENTITIES_FILE, JOURNAL_FILE, MARKER_FILE].iter().any(|name| directory.join(name).exists())
}

/// Removes what a build needs and a finished directory does not, but for the lock, which goes with its owner.
pub(super) fn tidy(directory: &Path) -> Result<()> {
    for name in [IDENTITIES_FILE, JOURNAL_FILE, MARKER_FILE] {
        durable::remove_if_exists(&directory.join(name))?;
    }
    Ok(())
}
