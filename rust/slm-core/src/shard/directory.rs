//! Whether a directory may be built in: only one that is empty, or that a build left unfinished.

use super::manifest::{FORMAT, Manifest, VERSION};
use super::{MANIFEST_FILE, TOKENIZER_DIRECTORY};
use crate::error::{Error, Result};
use crate::io::durable;
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
    let mut entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::Open),
        entries => entries.map_err(Error::io(directory))?,
    };
    if directory.join(MARKER_FILE).exists() {
        return Ok(State::Open);
    }
    match entries.next() {
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

/// Makes the directory ours and empty, but for the marker.
pub(super) fn begin(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(Error::io(directory))?;
    durable::write_file(&directory.join(MARKER_FILE), b"a build of shards began here and has not ended\n")?;
    for entry in fs::read_dir(directory).map_err(Error::io(directory))? {
        let entry = entry.map_err(Error::io(directory))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Files of other names are not ours, whoever put them beside an unfinished build.
        if name.starts_with("shard-") && (name.ends_with(".npy") || name.ends_with(durable::PARTIAL_SUFFIX)) {
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
    durable::remove_if_exists(&directory.join(MARKER_FILE))
}
