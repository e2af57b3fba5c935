//! `training.json`: what a tokenizer was made from, and with what settings.

use crate::chat::ChatTokens;
use crate::corpus::{CorpusSpec, Documents, Format, InvalidUtf8, OnError};
use crate::error::Result;
use crate::io::checksum::hex;
use crate::tokenizer::{Parts, Tokenizer};
use crate::train::{TrainOptions, Trained};
use serde_json::{Value, json};

/// The Unicode version of the character classes in split patterns: that of `regex-syntax`, and of `tokenizers` from 0.21.2 on.
pub const UNICODE_VERSION: &str = "16.0.0";

/// Makes a tokenizer of what training gave, with its record.
///
/// `spec` says which files were read; `None` if the documents came from memory.
///
/// # Errors
/// Those of [`Tokenizer::new`].
pub fn of_training(trained: Trained, options: &TrainOptions, spec: Option<&CorpusSpec>) -> Result<Tokenizer> {
    let record = record(&trained, options, spec);
    let old = options.extend.as_deref();
    let old_end = old.and_then(|old| {
        let end = old.end_of_text_id()?;
        old.vocab().special_tokens().iter().find(|special| special.id == end).map(|special| special.content.clone())
    });
    let parts = Parts {
        vocab: trained.vocab,
        merges: trained.merges,
        merge_counts: trained.merge_counts,
        // The first special token ends documents unless one of the usual names is among them.
        end_of_text: old_end.or_else(|| options.special_tokens.first().filter(|_| !has_usual_name(options)).cloned()),
        ignore_merges: old.is_some_and(|old| old.parts().ignore_merges),
        chat_template: (options.chat_tokens.map(|chat_tokens| chat_tokens.template().to_owned()))
            .or_else(|| old?.parts().chat_template.clone()),
        post_processor: old.and_then(|old| old.parts().post_processor.clone()),
        training: Some(format!("{record:#}\n")),
    };
    Tokenizer::new(options.pretokenizer.clone(), parts)
}

fn has_usual_name(options: &TrainOptions) -> bool {
    options.special_tokens.iter().any(|special| crate::tokenizer::END_OF_TEXT_NAMES.contains(&special.as_str()))
}

fn record(trained: &Trained, options: &TrainOptions, spec: Option<&CorpusSpec>) -> Value {
    let pretokenizer = options.pretokenizer.settings();
    let mut record = json!({
        "format": "slm.tokenizer",
        "version": 1,
        "config": {
            "corpus": spec.map(corpus),
            "extend": options.extend.as_ref().map(|old| {
                json!({"fingerprint": old.fingerprint(), "vocab_size": old.vocab().len()})
            }),
            "vocab_size": options.vocab_size,
            "pattern": pretokenizer.pattern,
            "digits": pretokenizer.digits,
            "prefix_space": pretokenizer.prefix_space,
            "normalization": pretokenizer.normalization,
            "special_tokens": options.special_tokens,
            "chat_tokens": options.chat_tokens.map(ChatTokens::name),
            "reserved_tokens": options.reserved_tokens,
            "special_tokens_in_text": options.special_tokens_in_text.name(),
            "min_frequency": options.min_frequency,
            "max_token_length": options.max_token_length,
            "max_token_bytes": options.max_token_bytes,
            "initial_alphabet": options.initial_alphabet,
            "num_threads": options.num_threads,
            "memory_limit": options.bounds.as_ref().map(|bounds| bounds.memory_bytes),
        },
        "corpus": {
            "files": trained.corpus.files,
            "bytes": trained.corpus.text_bytes,
            "documents": trained.corpus.documents,
            "skipped": trained.corpus.skipped,
            "replaced_sequences": trained.corpus.replaced_sequences,
            "fingerprint": hex(trained.corpus.fingerprint),
        },
        "counts": {
            "pretokens": trained.counts.pretokens,
            "unique_pretokens": trained.counts.unique_pretokens,
            "unique_bytes": trained.counts.unique_bytes,
            "longest_bytes": trained.counts.giants.longest_bytes,
            "longest_begins": trained.counts.giants.longest_begins(),
            "giant_bytes": trained.counts.giants.bytes,
            "fingerprint": hex(trained.counts.fingerprint),
        },
        "vocab_size": trained.vocab.len(),
        "merges": trained.merges.len(),
        "unicode_version": UNICODE_VERSION,
        "spilled_bytes": trained.spilled_bytes,
        "spill_peak_bytes": trained.spill_peak_bytes,
        "passes": trained.passes,
        "peak_memory_bytes": trained.peak_memory_bytes,
        "seconds": {"count": trained.count_seconds, "merge": trained.merge_seconds},
        "created_by": concat!("slm ", env!("CARGO_PKG_VERSION")),
    });
    if !trained.corpus.complaints.is_empty() {
        record["corpus"]["first_skipped"] = json!(trained.corpus.complaints);
    }
    record
}

fn corpus(spec: &CorpusSpec) -> Value {
    let format = match spec.format {
        Format::Auto => "auto",
        Format::Text => "text",
        Format::Jsonl => "jsonl",
        Format::Parquet => "parquet",
    };
    let (documents, separator) = match &spec.documents {
        Documents::File => ("file", None),
        Documents::Line => ("line", None),
        Documents::Separator(separator) => ("separator", Some(separator)),
    };
    let invalid_utf8 = match spec.invalid_utf8 {
        InvalidUtf8::Error => "error",
        InvalidUtf8::Replace => "replace",
        InvalidUtf8::Skip => "skip",
    };
    let mut record = json!({
        "paths": spec.paths,
        "format": format,
        "documents": documents,
        "separator": separator,
        "field": spec.field,
        "invalid_utf8": invalid_utf8,
    });
    if spec.on_error == OnError::Skip {
        record["on_error"] = json!("skip");
    }
    record
}
