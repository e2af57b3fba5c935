//! Adding counts up: those of many machines become those of all their text.

use crate::count::AddingUp;
use crate::count::artifact::{self, CountsArtifact, MANIFEST_FILE, NOTE, kept_out_in_words};
use crate::count::directory::OwnedDirectory;
use crate::count::merge::Merging;
use crate::error::{Error, Result};
use crate::io::spill::Spill;
use crate::progress::{Callback, Progress, supervise};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Adds finished counts up into a directory; the file with the counts has the bytes that counting all the text at once gives.
///
/// Reading them takes at most about `memory_bytes`. What a kill leaves is not complete, and the next call begins anew.
///
/// # Errors
/// Those of [`CountsArtifact::open`] and [`CountsArtifact::verify`]; [`Error::Config`] for counts that were split in different
/// ways, fewer than one, and an output directory that holds something or that another process writes into;
/// [`Error::Io`]; [`Error::Interrupted`].
pub fn merge_counts(
    inputs: &[PathBuf],
    out: &Path,
    memory_bytes: usize,
    callback: &mut Callback<'_>,
) -> Result<CountsArtifact> {
    let Some(first) = inputs.first() else {
        return Err(Error::Config("no counts were given to merge\n\nhint: name one directory at least".into()));
    };
    let artifacts: Vec<_> = inputs.iter().map(|path| CountsArtifact::open(path)).collect::<Result<_>>()?;
    for (path, artifact) in inputs.iter().zip(&artifacts) {
        let (one, other) = (artifacts[0].manifest(), artifact.manifest());
        if one.kept_out != other.kept_out {
            return Err(Error::Config(format!(
                "`{}` was counted with {}, `{}` with {}: such counts do not add up\n\nhint: count all parts with the same settings",
                first.display(),
                kept_out_in_words(&one.kept_out),
                path.display(),
                kept_out_in_words(&other.kept_out)
            )));
        }
        if (&one.pretokenizer, &one.unicode_version) != (&other.pretokenizer, &other.unicode_version) {
            return Err(Error::Config(format!(
                "`{}` was split by {} of Unicode {}, `{}` by {} of Unicode {}: such counts do not add up\n\nhint: count all parts with the \
                 same settings",
                first.display(),
                one.pretokenizer,
                one.unicode_version,
                path.display(),
                other.pretokenizer,
                other.unicode_version
            )));
        }
    }
    let owned = OwnedDirectory::claim(out)?;
    if out.join(MANIFEST_FILE).exists() {
        return Err(Error::Config(format!(
            "`{}` holds counts already\n\nhint: choose another output directory, or remove this one",
            out.display()
        )));
    }
    let total_bytes = artifacts.iter().map(|artifact| artifact.manifest().file.bytes).sum();
    let (verified, adding) = (AtomicU64::new(0), AddingUp::default());
    let verifying = || Progress {
        phase: "verify",
        unit: "bytes",
        done: verified.load(Ordering::Relaxed),
        total: total_bytes,
        counters: Vec::new(),
    };
    let snapshot = || adding.snapshot().unwrap_or_else(verifying);
    supervise(callback, snapshot, |stop| {
        owned.sweep(&HashSet::new())?;
        for artifact in &artifacts {
            artifact.verify(|bytes| {
                verified.fetch_add(bytes, Ordering::Relaxed);
                stop.check()
            })?;
        }
        adding.begin(Some(artifacts.iter().map(|artifact| artifact.summary().unique_pretokens).sum()));
        let merged = || {
            let (scratch, target) = (Spill::new(out, None), Spill::kept(out, 0));
            let merging = Merging { memory_bytes, scratch: &scratch, stop, adding: &adding };
            let runs: Vec<_> = artifacts.iter().map(CountsArtifact::run).collect();
            let sorted = merging.write(&runs, NOTE, &target)?;
            let corpora = artifacts.iter().flat_map(|artifact| artifact.manifest().corpora.clone()).collect();
            artifact::finish(out, &sorted, artifacts[0].manifest().splitting(), corpora, |_| stop.check())
        };
        let merged = merged();
        if merged.is_err() {
            owned.sweep(&HashSet::new())?;
        }
        merged
    })
}
