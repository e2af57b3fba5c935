"""What training a tokenizer or counting will take, from a sample of the corpus, before it starts."""

import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slm import _core
from slm.errors import ConfigError, SlmWarning
from slm.tokenizer.special_tokens import ChatTokens, SpecialTokensInText, kept_out_of_text
from slm.tokenizer.tokenizer import Normalization

if TYPE_CHECKING:
    from slm.tokenizer.bounds import Bounds

MAX_SAMPLE_BYTES = 64 << 20
"""Most bytes of a corpus that a prediction reads; it also ends after about a second."""

_SAMPLE_SHARE = 100

# What an estimate may be wrong by: more than this above a limit is certain enough to be an error.
_FACTOR = 2


@dataclass(frozen=True)
class Prediction:
    """An estimate of what work on a corpus will take, about to a factor of two, and space rather over than under."""

    text_bytes: int
    """Bytes of text in the corpus."""

    unique_pretokens: int
    """Different pretokens."""

    memory_bytes: int
    """The most memory at a time; never more than the limit."""

    spill_bytes: int
    """The most on disk at a time besides the result; when training, 0 if everything fits into memory."""

    counts_bytes: int
    """Size of the file with the counts where counting is all that is done, else 0."""

    count_seconds: float
    """Time of counting, by the speed at which the sample was counted."""

    merge_seconds: float
    """Time of merging, by runs on other texts; 0 where nothing is merged."""

    sample_bytes: int
    """Bytes of files that the sample has, on which all of this rests."""

    sample_seconds: float
    """Time that the sample took."""

    is_whole: bool
    """Whether the sample is the whole corpus."""


def predict_training(
    corpus: "_core.Corpus",
    *,
    vocab_size: int,
    num_threads: int,
    memory_limit: int,
    pattern: str = "gpt2",
    digits: int | None = None,
    prefix_space: bool = False,
    normalization: Normalization | None = None,
    special_tokens: Sequence[str] = (),
    chat_tokens: ChatTokens | None = None,
    reserved_tokens: int = 0,
    special_tokens_in_text: SpecialTokensInText = "text",
    max_sample_bytes: int | None = None,
) -> Prediction | None:
    """Estimate what training will take.

    Args:
        corpus: The corpus, as `slm.tokenizer.corpus.open_corpus` gives it.
        vocab_size: As for training.
        num_threads: As for training.
        memory_limit: As for training, in bytes.
        pattern: As for training.
        digits: As for training.
        prefix_space: As for training.
        normalization: As for training.
        special_tokens: As for training.
        chat_tokens: As for training.
        reserved_tokens: As for training.
        special_tokens_in_text: As for training.
        max_sample_bytes: Bytes of the corpus to read; None: a hundredth, 1 MiB at least and 64 MiB at most.

    Returns:
        The estimate; None where the corpus can be read only once, as an iterator or a pipe, or has no text.

    Raises:
        ConfigError: A setting is out of range.
        OSError: A file cannot be read.
    """
    found = _core.predict_training(
        corpus,
        vocab_size=vocab_size,
        pattern=pattern,
        digits=digits,
        prefix_space=prefix_space,
        normalization=normalization,
        special_tokens=list(special_tokens),
        chat_tokens=chat_tokens,
        reserved_tokens=reserved_tokens,
        special_tokens_in_text=special_tokens_in_text,
        num_threads=num_threads,
        memory_limit=memory_limit,
        max_sample_bytes=_sample_bytes(corpus, max_sample_bytes),
    )
    return None if found is None else Prediction(**json.loads(found))


def predict_counting(
    corpus: "_core.Corpus",
    *,
    num_threads: int,
    memory_limit: int,
    part_size: int = 1 << 30,
    pattern: str = "gpt2",
    digits: int | None = None,
    prefix_space: bool = False,
    normalization: Normalization | None = None,
    special_tokens: Sequence[str] = (),
    chat_tokens: ChatTokens | None = None,
    reserved_tokens: int = 0,
    special_tokens_in_text: SpecialTokensInText = "text",
    max_sample_bytes: int | None = None,
) -> Prediction | None:
    """Estimate what counting into a directory will take.

    Args:
        corpus: The corpus, as `slm.tokenizer.corpus.open_corpus` gives it.
        num_threads: As for counting.
        memory_limit: As for counting, in bytes.
        part_size: As for counting, in bytes.
        pattern: As for counting.
        digits: As for counting.
        prefix_space: As for counting.
        normalization: As for counting.
        special_tokens: As for counting.
        chat_tokens: As for counting.
        reserved_tokens: As for counting.
        special_tokens_in_text: As for counting.
        max_sample_bytes: As for `predict_training`.

    Returns:
        The estimate; None where the corpus can be read only once, as an iterator or a pipe, or has no text.

    Raises:
        ConfigError: A setting is out of range.
        OSError: A file cannot be read.
    """
    found = _core.predict_counting(
        corpus,
        pattern=pattern,
        digits=digits,
        prefix_space=prefix_space,
        normalization=normalization,
        kept_out=kept_out_of_text(special_tokens_in_text, special_tokens, chat_tokens, reserved_tokens),
        num_threads=num_threads,
        memory_limit=memory_limit,
        part_bytes=part_size,
        max_sample_bytes=_sample_bytes(corpus, max_sample_bytes),
    )
    return None if found is None else Prediction(**json.loads(found))


def _sample_bytes(corpus: "_core.Corpus", max_sample_bytes: int | None) -> int:
    if max_sample_bytes is not None:
        return max_sample_bytes
    return min(max(corpus.total_bytes // _SAMPLE_SHARE, 1 << 20), MAX_SAMPLE_BYTES)


def check_spill(prediction: Prediction, bounds: "Bounds") -> None:
    """Compare what will be spilled with `max_spill` and with the space that the disk has, before hours are spent.

    Raises:
        ConfigError: More than twice the space will be needed.

    Warns:
        SlmWarning: More than the space will be needed, as far as can be told.
    """
    needed, place = prediction.spill_bytes, str(bounds.spill_dir)
    if not needed:
        return
    if bounds.max_spill is not None:
        _compare(
            needed,
            bounds.max_spill,
            f"`max_spill` is {_in_words(bounds.max_spill)}, training will spill about {_in_words(needed)} to `{place}`",
            "raise `max_spill`, or raise `memory_limit` so that less is spilled",
        )
    free = _free_bytes(bounds.spill_dir)
    _compare(
        needed,
        free,
        f"`{place}` has {_in_words(free)} free, training will spill about {_in_words(needed)} there",
        "set `spill_dir` to a directory on a larger disk, or raise `memory_limit` so that less is spilled",
    )


def check_disk(prediction: Prediction, out: Path) -> None:
    """Compare what counting will write with the space that the disk has.

    Raises:
        ConfigError: More than twice the space will be needed.

    Warns:
        SlmWarning: More than the space will be needed, as far as can be told.
    """
    needed, free = prediction.spill_bytes + prediction.counts_bytes, _free_bytes(out)
    _compare(
        needed,
        free,
        f"the disk of `{out}` has {_in_words(free)} free, counting will write about {_in_words(needed)} there",
        "set `out` to a directory on a larger disk, or count parts of the corpus on several machines",
    )


def _free_bytes(directory: Path) -> int:
    existing = next((path for path in (directory, *directory.absolute().parents) if path.exists()), None)
    return shutil.disk_usage(existing or Path("/")).free


def _compare(needed: int, available: int, message: str, hint: str) -> None:
    if needed > _FACTOR * available:
        raise ConfigError(f"{message}\n\nhint: {hint}")
    if needed > available:
        warnings.warn(f"{message}, as far as a sample can tell\n\nhint: {hint}", SlmWarning, stacklevel=4)


def _in_words(num_bytes: int) -> str:
    for suffix, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {suffix}"
    return f"{num_bytes:,} bytes"
