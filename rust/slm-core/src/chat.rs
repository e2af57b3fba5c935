//! Conventions for conversations: the special tokens around a message, and the template that puts messages together.

use crate::error::{Error, Result};
use std::str::FromStr;

/// A known convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatTokens {
    /// `ChatML`: `<|im_start|>`, the role and a line feed, the message, `<|im_end|>` and a line feed.
    ChatMl,
}

impl ChatTokens {
    /// The name in configs and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChatMl => "chatml",
        }
    }

    /// The special tokens, in the order of their ids.
    pub const fn special_tokens(self) -> &'static [&'static str] {
        match self {
            Self::ChatMl => &["<|im_start|>", "<|im_end|>"],
        }
    }

    /// The template in Jinja, as `transformers` takes it: from `messages` with `role` and `content`, and with
    /// `add_generation_prompt` up to where the answer begins.
    pub const fn template(self) -> &'static str {
        match self {
            Self::ChatMl => concat!(
                "{%- for message in messages -%}",
                "{{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' -}}",
                "{%- endfor -%}",
                "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
            ),
        }
    }
}

impl FromStr for ChatTokens {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "chatml" => Ok(Self::ChatMl),
            other => Err(Error::Config(format!("`chat_tokens` is `{other}`, it must be `chatml` or left out"))),
        }
    }
}
