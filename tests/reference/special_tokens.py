"""Special tokens at their plainest: which there are, and the text between them."""

from collections.abc import Sequence


def every(special_tokens: Sequence[str], chat_tokens: str | None = None, reserved_tokens: int = 0) -> list[str]:
    """The special tokens that settings ask for, each once, by id."""
    named = list(dict.fromkeys([*special_tokens, *(["<|im_start|>", "<|im_end|>"] if chat_tokens else [])]))
    number = 0
    reserved: list[str] = []
    while len(reserved) < reserved_tokens:
        token = f"<|reserved_special_token_{number}|>"
        number += 1
        if token not in named:
            reserved.append(token)
    return named + reserved


def text_between(document: str, special_tokens: Sequence[str]) -> list[str]:
    """The text between special tokens: at each place the longest one, and else a character of text."""
    parts = [""]
    at = 0
    while at < len(document):
        longest = max((token for token in special_tokens if document.startswith(token, at)), key=len, default="")
        if longest:
            parts.append("")
        else:
            parts[-1] += document[at]
        at += len(longest) or 1
    return parts
