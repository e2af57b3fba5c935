//! The Python module `slm._core`: conversion of arguments and results, and nothing else.

// Arguments arrive by value: PyO3 makes them anew for each call.
#![allow(clippy::needless_pass_by_value)]

mod corpus;
mod counts;
mod error;
mod interruptible;
mod predict;
mod rows;
mod shard;
mod texts;
mod tokenizer;
mod train;

#[global_allocator]
static ALLOCATOR: slm_core::io::allocator::LargeMappings = slm_core::io::allocator::LargeMappings;

#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use crate::corpus::Corpus;
    #[pymodule_export]
    use crate::counts::{all_special_tokens, count_pretokens, merge_counts, read_counts_manifest};
    #[pymodule_export]
    use crate::interruptible::Progress;
    #[pymodule_export]
    use crate::predict::{predict_counting, predict_training, sample_texts};
    #[pymodule_export]
    use crate::rows::{RowReader, find_stretches, permute};
    #[pymodule_export]
    use crate::shard::{build_shards, file_checksum, file_checksums};
    #[pymodule_export]
    use crate::tokenizer::Tokenizer;
    #[pymodule_export]
    use crate::train::{default_memory_limit, is_in_memory, train_tokenizer};
}
