//! What is done to a text before merging, as `tokenizer.json` says it: normalizers and pre-tokenizers, one after another.

use super::json::{Normalizer, PreTokenizer, SplitPattern};
use crate::error::Error;
use crate::pretokenize::{Normalization, Pattern, Pretokenizer};
use serde_json::{Value, json};

/// Matches the blanks of a text that began with one when another was put before it. The pre-tokenizer `ByteLevel` has a setting
/// for a blank before, but behind a `Split` it puts one before every pretoken. Replacing an empty match would do in one step,
/// but `tokenizers` loses track of its places and panics.
const TWO_BLANKS: &str = r"\A  ";

/// Whether `ByteLevel`, which has GPT-2's pattern built in, is all that is needed.
pub(super) fn is_byte_level_alone(pretokenizer: &Pretokenizer) -> bool {
    pretokenizer.pattern() == Some(Pattern::Gpt2)
}

/// The normalizer of a pretokenizer, null if there is none.
pub(super) fn normalizer(pretokenizer: &Pretokenizer) -> Value {
    let mut steps: Vec<Value> = Vec::new();
    steps.extend(pretokenizer.normalization().map(|Normalization::Nfc| json!({"type": "NFC"})));
    if pretokenizer.prefix_space() && !is_byte_level_alone(pretokenizer) {
        steps.push(json!({"type": "Prepend", "prepend": " "}));
        steps.push(json!({"type": "Replace", "pattern": {"Regex": TWO_BLANKS}, "content": " "}));
    }
    match steps.len() {
        0 => Value::Null,
        1 => steps.remove(0),
        _ => json!({"type": "Sequence", "normalizers": steps}),
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
    // Composing neither makes nor takes a blank, so it may come after the other two.
    let (blanks, others): (Vec<&Normalizer>, Vec<_>) = steps.iter().partition(|step| step.kind != "NFC");
    let normalization = (!others.is_empty()).then_some(Normalization::Nfc);
    let is_prepend = |step: &Normalizer| step.kind == "Prepend" && step.prepend.as_deref() == Some(" ");
    let is_replace = |step: &Normalizer| {
        step.kind == "Replace"
            && matches!(&step.pattern, Some(SplitPattern::Regex(regex)) if regex == TWO_BLANKS)
            && step.content.as_deref() == Some(" ")
    };
    match blanks.as_slice() {
        [] => Ok((normalization, false)),
        [first, second] if is_prepend(first) && is_replace(second) => Ok((normalization, true)),
        [other, ..] => Err(format!("normalizer `{}` is not supported, it must be null or `NFC`", other.kind)),
    }
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
