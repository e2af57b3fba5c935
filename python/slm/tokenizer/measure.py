"""What a tokenizer does to texts: compression, coverage, and how it treats each script."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slm import _core
from slm.errors import DataError
from slm.tokenizer.scripts import SCRIPTS, scripts_of_text
from slm.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class ScriptReport:
    """What becomes of the characters of one script."""

    script: str
    """The script, one of `slm.tokenizer.scripts.SCRIPTS`."""

    characters: int
    """Characters of it in the text; a space counts with what comes after it."""

    tokens: float
    """Tokens that they become; one that covers two scripts is shared out by bytes."""

    tokens_per_character: float
    """Fewer are better; more than 1 means that a character is cut up."""


@dataclass(frozen=True)
class SampleReport:
    """What a tokenizer does to a text."""

    bytes: int
    """Bytes of the text in UTF-8."""

    characters: int
    """Characters of the text."""

    tokens: int
    """Tokens that it becomes."""

    bytes_per_token: float
    """Compression: more is better."""

    characters_per_token: float
    """The same in characters."""

    distinct_tokens: int
    """Different tokens that occur."""

    vocab_used: float
    """Share of the vocabulary that occurs, from 0 to 1."""

    pretokens: int
    """Pretokens that the pattern cuts the text into."""

    whole_pretokens: float
    """Share of them that are one token each, from 0 to 1."""

    whole_bytes: float
    """Share of the text's bytes in such pretokens, from 0 to 1."""

    scripts: tuple[ScriptReport, ...]
    """The scripts of the text, the one with most characters first."""


def read_sample(corpus: "_core.Corpus", max_bytes: int) -> list[str]:
    """Read texts from all over the files of a corpus; none of documents in memory and of pipes.

    Args:
        corpus: The corpus, as `slm.tokenizer.corpus.open_corpus` gives it.
        max_bytes: Bytes of the files to read, about.

    Raises:
        OSError: A file cannot be read.
        DataError: A file is malformed.
    """
    return _core.sample_texts(corpus, max_bytes)


def inspect_sample(tokenizer: Tokenizer, text: str | Sequence[str]) -> SampleReport:
    """Measure what the tokenizer does to a text, or to several.

    Raises:
        DataError: There is no text, so there is nothing to measure.
    """
    texts = [text] if isinstance(text, str) else list(text)
    if not any(texts):
        raise DataError("the sample is empty, so there is nothing to measure")
    ids, offsets = tokenizer.encode_batch(texts)
    num_bytes = sum(len(text.encode()) for text in texts)
    num_characters = sum(map(len, texts))
    distinct = int(np.count_nonzero(np.bincount(ids, minlength=tokenizer.vocab_size)))
    pretokens, pretoken_bytes, whole, whole_bytes = tokenizer.core.coverage(texts)
    return SampleReport(
        bytes=num_bytes,
        characters=num_characters,
        tokens=len(ids),
        bytes_per_token=num_bytes / len(ids),
        characters_per_token=num_characters / len(ids),
        distinct_tokens=distinct,
        vocab_used=distinct / tokenizer.vocab_size,
        pretokens=pretokens,
        whole_pretokens=whole / pretokens,
        whole_bytes=whole_bytes / pretoken_bytes,
        scripts=_scripts(tokenizer, texts, ids, offsets),
    )


def _scripts(
    tokenizer: Tokenizer, texts: list[str], ids: NDArray[np.uint32], offsets: NDArray[np.uint64]
) -> tuple[ScriptReport, ...]:
    lengths = tokenizer.token_lengths()
    characters, tokens = np.zeros(len(SCRIPTS)), np.zeros(len(SCRIPTS))
    for idx, text in enumerate(texts):
        ids_of_text = ids[int(offsets[idx]) : int(offsets[idx + 1])]
        token_lengths = lengths[ids_of_text]
        scripts, char_bytes = scripts_of_text(text)
        if int(token_lengths.sum()) != int(char_bytes.sum()):
            # The tokenizer changes text before it cuts it; what it has tokens for is the changed one.
            scripts, char_bytes = scripts_of_text(tokenizer.decode(ids_of_text))
            if int(token_lengths.sum()) != int(char_bytes.sum()):
                continue
        characters += np.bincount(scripts, minlength=len(SCRIPTS))
        # Every byte of a token of n bytes is an n-th of it.
        shares = np.repeat(1 / np.maximum(token_lengths, 1), token_lengths)
        tokens += np.bincount(np.repeat(scripts, char_bytes), shares, minlength=len(SCRIPTS))
    order = [number for number in np.argsort(-characters, kind="stable").tolist() if characters[number]]
    return tuple(
        ScriptReport(
            script=SCRIPTS[number],
            characters=int(characters[number]),
            tokens=round(float(tokens[number]), 3),
            tokens_per_character=float(tokens[number] / characters[number]),
        )
        for number in order
    )
