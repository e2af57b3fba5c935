//! Paths, directories and globs to the list of files.
use crate::corpus::{CorpusFile, Format};
use crate::error::Result;
pub(super) fn find(_paths: &[String], _format: Format) -> Result<Vec<CorpusFile>> {
    todo!()
}
