//! Runs to one file of counts, whose bytes depend on the counts alone.

use crate::count::AddingUp;
use crate::count::runs::{Run, RunWriter};
use crate::count::sorted::{STOP_INTERVAL, SortedCounts, SortedWriter, add_up, check_at_times};
use crate::error::Result;
use crate::io::blocks::Packing;
use crate::io::spill::Spill;
use crate::progress::Stop;
use std::collections::VecDeque;

/// Runs that are read at once: systems allow a process a thousand open files or fewer.
const MAX_TOGETHER: usize = 200;

/// Adding up runs that stay as they are.
pub(super) struct Merging<'a> {
    /// About how much memory reading the runs may take.
    pub memory_bytes: usize,
    /// Where sums of some of the runs go, if there are too many for one pass.
    pub scratch: &'a Spill,
    pub stop: &'a Stop,
    pub adding: &'a AddingUp,
}

impl Merging<'_> {
    /// Writes the sum into a new file of `target`, after a block that says what the file is.
    pub fn write<'t>(&self, runs: &[Run], note: &[u8], target: &'t Spill) -> Result<SortedCounts<'t>> {
        // Runs, and whether they are sums of others.
        let mut runs: VecDeque<(Run, bool)> = runs.iter().map(|run| (run.clone(), false)).collect();
        loop {
            let together = self.num_together(&runs);
            if together < runs.len() {
                let some: Vec<_> = runs.drain(..together).collect();
                runs.push_back((self.sum(&some)?, true));
                self.remove_sums(some)?;
                continue;
            }
            let mut writer = SortedWriter::new(target, Packing::Plain, self.stop)?;
            writer.push_note(note)?;
            let all: Vec<_> = runs.iter().map(|(run, _)| run.clone()).collect();
            add_up(&all, self.adding, |pretoken, count| writer.push(pretoken, count))?;
            self.remove_sums(runs)?;
            return writer.finish();
        }
    }

    /// The front of the queue that can be read at once, two runs at least.
    fn num_together(&self, runs: &VecDeque<(Run, bool)>) -> usize {
        let mut needed = 0;
        let together = runs.iter().take(MAX_TOGETHER).take_while(|(run, _)| {
            // A block, the pretoken that is being put together, and what the allocator adds.
            needed += 2 * run.max_block_bytes + 1024;
            needed <= self.memory_bytes
        });
        together.count().max(2)
    }

    fn sum(&self, runs: &[(Run, bool)]) -> Result<Run> {
        let runs: Vec<_> = runs.iter().map(|(run, _)| run.clone()).collect();
        let mut writer = RunWriter::create(self.scratch, Packing::Zstd)?;
        let mut left = STOP_INTERVAL;
        add_up(&runs, self.adding, |pretoken, count| {
            check_at_times(&mut left, self.stop)?;
            writer.push(pretoken, count)
        })?;
        writer.finish()
    }

    fn remove_sums(&self, runs: impl IntoIterator<Item = (Run, bool)>) -> Result<()> {
        let mut sums = runs.into_iter().filter(|(_, is_sum)| *is_sum);
        sums.try_for_each(|(run, _)| self.scratch.remove(&run.path, run.bytes))
    }
}
