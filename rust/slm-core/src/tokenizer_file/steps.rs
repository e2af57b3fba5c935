//! What is done to a text before merging, as `tokenizer.json` says it: normalizers and pre-tokenizers, one after another.

use super::json::{Normalizer, PreTokenizer, SplitPattern};
use crate::error::Error;
use crate::pretokenize::{Normalization, Pattern, Pretokenizer};
use serde_json::{Value, json};

/// Puts a blank before a text that does not begin with one, where there is a text. The pre-tokenizer `ByteLevel` has a setting
/// for that, but behind a `Split` it puts one before every pretoken.
const BLANK_BEFORE: &str = r"\A(?=[^ ])";

/// Whether `ByteLevel`, which has GPT-2's pattern built in, is all that is needed.
pub(super) fn is_byte_level_alone(pretokenizer: &Pretokenizer) -> bool {
    pretokenizer.pattern() == Some(Pattern::Gpt2)
}

/// The normalizer of a pretokenizer, null if there is none.
pub(super) fn normalizer(pretokenizer: &Pretokenizer) -> Value {
    let nfc = pretokenizer.normalization().map(|Normalization::Nfc| json!({"type": "NFC"}));
    let blank = (pretokenizer.prefix_space() && !is_byte_level_alone(pretokenizer))
        .then(|| json!({"type": "Replace", "pattern": {"Regex": BLANK_BEFORE}, "content": " "}));
    match (nfc, blank) {
        (Some(nfc), Some(blank)) => json!({"type": "Sequence", "normalizers": [nfc, blank]}),
        (nfc, blank) => nfc.or(blank).unwrap_or(Value::Null),
    }
}

/// The pre-tokenizer of a pretokenizer.
pub(super) fn pre_tokenizer(pretokenizer: &Pretokenizer) -> Value {
    if is_byte_level_alone(pretokenizer) {
        return byte_level(pretokenizer.prefix_space(), true);
    }
    json!({
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pretokenizer.regex()}, "behavior": "Isolated", "invert": false},
            byte_level(false, false),
        ],
    })
}

/// The step from text to the characters of bytes; also the decoder, for which its settings say nothing.
pub(super) fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true, "use_regex": use_regex})
}

/// The pretokenizer that does what a file says.
pub(super) fn pretokenizer_of(
    normalizer: Option<&Normalizer>,
    pre_tokenizer: Option<&PreTokenizer>,
) -> Result<Pretokenizer, String> {
    let (normalization, puts_blank) = normalization_of(normalizer)?;
    let (mut pretokenizer, adds_prefix_space) = split_of(pre_tokenizer)?;
    pretokenizer = pretokenizer.with_options(puts_blank || adds_prefix_space, normalization);
    Ok(pretokenizer)
}

/// What the normalizer does: compose, and put a blank before.
fn normalization_of(normalizer: Option<&Normalizer>) -> Result<(Option<Normalization>, bool), String> {
    let Some(normalizer) = normalizer else { return Ok((None, false)) };
    let steps = match (normalizer.kind.as_str(), &normalizer.normalizers) {
        ("Sequence", Some(steps)) => steps.as_slice(),
        _ => std::slice::from_ref(normalizer),
    };
    let (mut normalization, mut puts_blank) = (None, false);
    for step in steps {
        match (step.kind.as_str(), &step.pattern, step.content.as_deref()) {
            // A blank is put before what is composed; composing after that would do the same.
            ("NFC", ..) => normalization = Some(Normalization::Nfc),
            ("Replace", Some(SplitPattern::Regex(regex)), Some(" ")) if regex == BLANK_BEFORE => puts_blank = true,
            (kind, ..) => {
                return Err(format!("normalizer `{kind}` is not supported, it must be null or `NFC`"));
            }
        }
    }
    Ok((normalization, puts_blank))
}

/// How the pre-tokenizer splits, and whether it puts a blank before.
fn split_of(pre_tokenizer: Option<&PreTokenizer>) -> Result<(Pretokenizer, bool), String> {
    // Left out, both settings mean true.
    let byte_level = |step: &PreTokenizer, use_regex: bool| match step.kind.as_str() {
        "ByteLevel" if step.use_regex.unwrap_or(true) == use_regex => Ok(step.add_prefix_space.unwrap_or(true)),
        "ByteLevel" => Err(format!("pre-tokenizer `ByteLevel` must have `use_regex: {use_regex}` here")),
        kind => Err(format!("pre-tokenizer `{kind}` is not supported, it must be `ByteLevel`")),
    };
    let step = pre_tokenizer.ok_or("there is no pre-tokenizer, it must be `ByteLevel`")?;
    let steps = match (step.kind.as_str(), &step.pretokenizers) {
        ("Sequence", Some(steps)) => steps.as_slice(),
        _ => std::slice::from_ref(step),
    };
    match steps {
        [step] => Ok((Pattern::Gpt2.into(), byte_level(step, true)?)),
        [split, step] if split.kind == "Split" => {
            if byte_level(step, false)? {
                return Err(
                    "pre-tokenizer `ByteLevel` with `add_prefix_space: true` after `Split` is not supported: it \
                            puts a blank before every pretoken"
                        .into(),
                );
            }
            let Some(SplitPattern::Regex(regex)) = &split.pattern else {
                return Err("pre-tokenizer `Split` must have a `Regex` pattern".into());
            };
            if split.behavior.as_deref() != Some("Isolated") || split.invert == Some(true) {
                return Err("pre-tokenizer `Split` must have `behavior: Isolated` and `invert: false`".into());
            }
            let pretokenizer = Pretokenizer::of_regex(regex).map_err(|error| match error {
                // What it says is about a setting; here it is a file that must be different.
                Error::Config(message) => message.split("\n\nhint:").next().unwrap_or(&message).to_owned(),
                other => other.to_string(),
            })?;
            Ok((pretokenizer, false))
        }
        _ => Err("the pre-tokenizer must be `ByteLevel`, or `Split` and then `ByteLevel`".into()),
    }
}
