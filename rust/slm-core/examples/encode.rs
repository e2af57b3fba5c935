//! Encodes a text again and again on one thread, for profilers; prints the fastest of the passes.
//!
//! ```text
//! cargo run --release --example encode -- TOKENIZER TEXT [CACHES [PASSES]]
//! ```

use slm_core::encode::Scratch;
use slm_core::io::allocator::LargeMappings;
use slm_core::tokenizer::SpecialTokens;
use slm_core::tokenizer_file;
use std::path::Path;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: LargeMappings = LargeMappings;

/// About the size of a web page.
const DOCUMENT_BYTES: usize = 8_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, tokenizer, text, rest @ ..] = arguments.as_slice() else {
        return Err("TOKENIZER TEXT [CACHES [PASSES]]".into());
    };
    let tokenizer = tokenizer_file::load(Path::new(tokenizer))?;
    let text = std::fs::read_to_string(text)?;
    let mut documents = vec![0];
    documents.extend(text.match_indices('\n').map(|(at, _)| at + 1).filter({
        let mut last = 0;
        move |&end| {
            let is_end = end - last >= DOCUMENT_BYTES;
            last = if is_end { end } else { last };
            is_end
        }
    }));
    documents.push(text.len());
    let mut fastest = [f64::INFINITY; 2];
    let mut ids = Vec::new();
    let number = |idx: usize, default| rest.get(idx).map_or(Ok(default), |text| text.parse());
    for _ in 0..number(0, 3)? {
        let mut scratch = Scratch::default();
        // With an empty cache first, and then with what the passes before left in it.
        for pass in 0..number(1, 2)? {
            let started = Instant::now();
            for range in documents.windows(2) {
                ids.clear();
                tokenizer.encode_into(&text[range[0]..range[1]], SpecialTokens::AsText, &mut scratch, &mut ids)?;
            }
            let seconds = &mut fastest[pass.min(1)];
            *seconds = seconds.min(started.elapsed().as_secs_f64());
        }
    }
    #[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a program for people")]
    for (seconds, which) in fastest.into_iter().zip(["first", "later"]) {
        println!("{which} pass {:.1} MB/s", text.len() as f64 / 1e6 / seconds);
    }
    Ok(())
}
