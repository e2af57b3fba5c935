//! Where documents begin in batches of rows, read off the number of the document at each position.

/// Positions of which only the last is looked at where nothing changes.
const BLOCK: usize = 32;

/// The stretches of positions that belong to one document or to padding, of several batches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stretches {
    /// For each batch in turn, where its stretches begin, and how many positions it has.
    pub cu_seqlens: Vec<i32>,
    /// Entries of `cu_seqlens` up to the end of each batch.
    pub ends: Vec<usize>,
    /// Positions of the longest stretch of each batch.
    pub longest: Vec<i32>,
}

impl Stretches {
    /// Finds them in rows of `row_tokens`, of which every `batch_rows` are a batch.
    ///
    /// Every row begins a stretch, and the numbers of its stretches differ.
    ///
    /// # Panics
    /// If a batch has no position, or 2^31 of them.
    pub fn of_batches(document_ids: &[i32], row_tokens: usize, batch_rows: usize) -> Self {
        let batch_tokens =
            i32::try_from(row_tokens * batch_rows).expect("the binding refuses batches of 2^31 positions");
        let mut found = Self::default();
        for batch in document_ids.chunks(row_tokens * batch_rows) {
            let first = found.cu_seqlens.len();
            for (row, start) in batch.chunks(row_tokens).zip((0..).step_by(row_tokens)) {
                find_starts(row, start, &mut found.cu_seqlens);
            }
            found.cu_seqlens.push(batch_tokens);
            found.ends.push(found.cu_seqlens.len());
            let lengths = found.cu_seqlens[first..].windows(2).map(|ends| ends[1] - ends[0]);
            found.longest.push(lengths.max().unwrap_or_default());
        }
        found
    }
}

/// Adds where stretches of a row begin, which itself begins at `row_start`.
fn find_starts(row: &[i32], row_start: i32, starts: &mut Vec<i32>) {
    starts.push(row_start);
    let mut before = row[0];
    for (block, block_start) in row.chunks(BLOCK).zip((row_start..).step_by(BLOCK)) {
        // No number comes back within a row: if the last is the one before the block, so are all.
        if block[block.len() - 1] == before {
            continue;
        }
        for (&document, at) in block.iter().zip(block_start..) {
            if document != before {
                starts.push(at);
                before = document;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stretches_begin_where_a_row_or_another_document_does(
            lens in prop::collection::vec(prop_oneof![1usize..4, 1usize..200], 1..80),
            row_tokens in 1usize..300,
            batch_rows in 1usize..4,
        ) {
            let mut ids: Vec<i32> = lens.iter().zip(0..).flat_map(|(&len, id)| vec![id; len]).collect();
            let batch_tokens = row_tokens * batch_rows;
            ids.resize(ids.len().next_multiple_of(batch_tokens), -1);
            let found = Stretches::of_batches(&ids, row_tokens, batch_rows);
            let mut first = 0;
            prop_assert_eq!(found.ends.len(), ids.len() / batch_tokens);
            for (number, batch) in ids.chunks(batch_tokens).enumerate() {
                let begins = |&at: &usize| at % row_tokens == 0 || batch[at] != batch[at - 1];
                let mut expected: Vec<usize> = (0..batch_tokens).filter(begins).collect();
                expected.push(batch_tokens);
                let cu_seqlens = &found.cu_seqlens[first..found.ends[number]];
                prop_assert_eq!(cu_seqlens.iter().map(|&at| usize::try_from(at).unwrap()).collect::<Vec<_>>(), expected.clone());
                let longest = expected.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap();
                prop_assert_eq!(usize::try_from(found.longest[number]).unwrap(), longest);
                first = found.ends[number];
            }
        }
    }
}
