//! Trains a tokenizer and says how long each phase took; made for profiling.
//!
//! ```text
//! cargo run --release --example train -- VOCAB_SIZE PATTERN THREADS file|line PATH...  > merges.txt
//! ```
//!
//! `SLM_MEMORY_LIMIT`, in MiB, bounds its memory; it spills into `SLM_SPILL_DIR`, or else into the system's directory for
//! temporary files.

use slm_core::byte_chars::chars_of_bytes;
use slm_core::corpus::{Corpus, CorpusSpec, Documents};
use slm_core::count::Bounds;
use slm_core::train::{TrainOptions, train};
use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: slm_core::io::allocator::LargeMappings = slm_core::io::allocator::LargeMappings;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vocab_size, pattern, threads, documents, paths @ ..] = &arguments[..] else {
        return Err("usage: train VOCAB_SIZE PATTERN THREADS file|line PATH...".into());
    };
    let documents = if documents == "line" { Documents::Line } else { Documents::File };
    let corpus = Corpus::open(&CorpusSpec { paths: paths.to_vec(), documents, ..CorpusSpec::default() })?;
    let bounds = match std::env::var("SLM_MEMORY_LIMIT") {
        Ok(mebibytes) => {
            let spill_dir = std::env::var_os("SLM_SPILL_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
            Some(Bounds::new(mebibytes.parse::<u64>()? << 20, spill_dir, None)?)
        }
        Err(_) => None,
    };
    let options = TrainOptions {
        vocab_size: vocab_size.parse()?,
        pretokenizer: pattern.parse()?,
        num_threads: threads.parse()?,
        bounds,
        ..TrainOptions::default()
    };
    let trained = train((&corpus).into(), &options, &mut |_| ControlFlow::Continue(()))?;
    writeln!(io::stderr(), "{:?} {:?}", trained.corpus, trained.counts)?;
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let megabytes = trained.corpus.text_bytes as f64 / 1e6;
    writeln!(
        io::stderr(),
        "count {:.3} s, {:.0} MB/s; merge {:.3} s, {} merges, {} passes, {} bytes spilled",
        trained.count_seconds,
        megabytes / trained.count_seconds,
        trained.merge_seconds,
        trained.merges.len(),
        trained.passes,
        trained.spilled_bytes
    )?;
    let mut out = BufWriter::new(io::stdout());
    for merge in &trained.merges {
        let text = |id| trained.vocab.token(id).map(chars_of_bytes).unwrap_or_default();
        writeln!(out, "{} {}", text(merge.left), text(merge.right))?;
    }
    out.flush()?;
    Ok(())
}
