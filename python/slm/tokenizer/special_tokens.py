"""Special tokens: what is asked for by name, and what their text in a corpus is."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from slm import _core

DEFAULT_SPECIAL_TOKENS = ("<|endoftext|>",)
"""The special tokens where nobody names some."""

ChatTokens: TypeAlias = Literal["chatml"]
"""A known convention for conversations."""

SpecialTokensInText: TypeAlias = Literal["text", "split"]
"""What the text of a special token in the corpus is: ordinary text, or a place to split at."""


def kept_out_of_text(
    special_tokens_in_text: SpecialTokensInText,
    special_tokens: Sequence[str],
    chat_tokens: ChatTokens | None,
    reserved_tokens: int,
) -> list[str]:
    """The special tokens at whose text a corpus is split: all there will be, or none.

    Raises:
        ConfigError: A name is not known.
    """
    if special_tokens_in_text != "split":
        return []
    return _core.all_special_tokens(
        special_tokens=list(special_tokens), chat_tokens=chat_tokens, reserved_tokens=reserved_tokens
    )
