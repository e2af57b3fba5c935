"""Turns tokens into text as they come: no character is split, and no part of a stop string is shown."""

import codecs
from collections.abc import Sequence

from slm.tokenizer import Tokenizer


class TokenTable:
    """The bytes of every token, looked up once.

    Special tokens stand for no text and map to nothing; so do ids without a token.

    Args:
        tokenizer: Where the bytes come from.
    """

    def __init__(self, tokenizer: Tokenizer):
        silent_ids = {*tokenizer.special_tokens.values(), *tokenizer.unused_ids().tolist()}
        self.bytes_V = [
            b"" if token_id in silent_ids else tokenizer.token_bytes(token_id)
            for token_id in range(tokenizer.vocab_size)
        ]

    def __getitem__(self, token_id: int) -> bytes:
        # A model's vocabulary may be padded beyond the tokenizer's; such an id is no text.
        return self.bytes_V[token_id] if token_id < len(self.bytes_V) else b""


class Detokenizer:
    """Decodes one sequence, token by token.

    Bytes that may still become a character are held back; bytes that cannot are U+FFFD, at the same places where
    `bytes.decode("utf-8", "replace")` puts it. The pieces together are what decoding all tokens at once gives.

    Args:
        table: Bytes of each token.
    """

    def __init__(self, table: TokenTable):
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """Take one token; return the text that it completes, often empty for part of a character."""
        return self._decoder.decode(self._table[token_id])

    def flush(self) -> str:
        """End the sequence; return what was held back, as U+FFFD."""
        return self._decoder.decode(b"", final=True)


class StopMatcher:
    """Finds the first stop string in text that arrives in pieces.

    Held back is exactly the longest end of the text that could still become a stop string, so nothing that belongs to
    one is ever shown and nothing else waits. The first stop string to be complete wins, and of those that end together
    the longest; how the text was cut into pieces does not matter.

    Args:
        stop: Stop strings, none of them empty.

    Example:
        >>> matcher = StopMatcher(["###"])
        >>> matcher.push("one #"), matcher.push("two ##"), matcher.push("# three")
        ('one ', '#two ', '')
        >>> matcher.is_matched
        True
    """

    def __init__(self, stop: Sequence[str]):
        self._stop = tuple(stop)
        self._held = ""
        self.is_matched = False

    def push(self, text: str) -> str:
        """Take more text; return what may be shown. After a match nothing more is."""
        if not self._stop:
            return text
        if self.is_matched:
            return ""
        text = self._held + text
        matches = [(start + len(stop), start) for stop in self._stop if (start := text.find(stop)) >= 0]
        if matches:
            self.is_matched = True
            self._held = ""
            return text[: min(matches)[1]]
        num_held = max(_overlap(text, stop) for stop in self._stop)
        self._held = text[len(text) - num_held :]
        return text[: len(text) - num_held]

    def flush(self) -> str:
        """End the text; return what was held back, since it became no stop string after all."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning, but not the whole, of `stop`."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
