//! How far adding up runs has come; read by the thread that reports.

use crate::progress::Progress;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pretokens read from runs that are added up, and how many they have in all.
#[derive(Debug, Default)]
pub struct AddingUp {
    read: AtomicU64,
    /// One more than there are to read, or 1 where that is not known; 0 before it begins.
    total: AtomicU64,
}

impl AddingUp {
    /// Says that adding up begins, and how many pretokens all runs have together, if that is known.
    pub(super) fn begin(&self, total: Option<u64>) {
        self.total.store(total.unwrap_or(0) + 1, Ordering::Relaxed);
    }

    /// Says that so many more were read.
    pub(super) fn note(&self, read: u64) {
        self.read.fetch_add(read, Ordering::Relaxed);
    }

    /// `None` before it begins.
    pub(crate) fn snapshot(&self) -> Option<Progress> {
        let total = self.total.load(Ordering::Relaxed).checked_sub(1)?;
        let done = self.read.load(Ordering::Relaxed);
        // Runs that cannot all be read at once are added up to runs, which are read again.
        let total = if done > total { 0 } else { total };
        Some(Progress { phase: "add up", unit: "pretokens", done, total, counters: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_it_is_once_it_begins_and_never_that_there_is_more_than_all() {
        let adding = AddingUp::default();
        assert_eq!(adding.snapshot(), None);
        let told = |adding: &AddingUp| adding.snapshot().map(|progress| (progress.done, progress.total));
        adding.begin(Some(10));
        assert_eq!(told(&adding), Some((0, 10)));
        adding.note(10);
        assert_eq!(told(&adding), Some((10, 10)));
        adding.note(3);
        assert_eq!(told(&adding), Some((13, 0)));
        adding.begin(None);
        assert_eq!(told(&adding), Some((13, 0)));
    }
}
