"""What the record of a training says that a person should know."""

import warnings
from collections.abc import Mapping
from typing import Any

from slm.errors import SlmWarning

_LONGEST_BYTES = 1024
_SHARE_OF_BYTES = 0.01
# A share of less than this costs nothing, however large a share it is.
_LEAST_BYTES = 1 << 20
_SHOWN_CHARACTERS = 40


def describe_giants(training: Mapping[str, Any] | None) -> str | None:
    """Say what the pattern left whole that is far longer than words, and what that costs; None if there is little.

    Args:
        training: The record, as `Tokenizer.training` has it.
    """
    counts: Mapping[str, Any] = (training or {}).get("counts", {})
    longest = counts.get("longest_bytes", 0)
    giant_bytes = counts.get("giant_bytes", 0)
    # Composing may lengthen text, so they can be more than was read.
    share = min(giant_bytes / max((training or {}).get("corpus", {}).get("bytes", 0), 1), 1.0)
    if longest <= _LONGEST_BYTES and (share < _SHARE_OF_BYTES or giant_bytes < _LEAST_BYTES):
        return None
    begins = counts["longest_begins"][:_SHOWN_CHARACTERS]
    return (
        f"the pattern left stretches of text whole that are far longer than words: the longest has {longest:,} bytes "
        f"and begins with {begins!r}; those above 256 bytes are {share:.2%} of the text. They take memory and time, "
        "and what is learned from them occurs nowhere else\n\n"
        "hint: leave such text out, such as base64, tables drawn with `=` or minified code, or break it up with spaces"
    )


def warn_of_giants(training: Mapping[str, Any] | None) -> None:
    """Warn of what `describe_giants` finds.

    Warns:
        SlmWarning: The pattern left giant pretokens.
    """
    message = describe_giants(training)
    if message is not None:
        warnings.warn(message, SlmWarning, stacklevel=3)
