"""What training a tokenizer will take, from a sample of the corpus, before it starts."""

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slm import _core
from slm.errors import ConfigError, SlmWarning

if TYPE_CHECKING:
    from slm.tokenizer.bounds import Bounds

MAX_SAMPLE_BYTES = 64 << 20
"""Most bytes of a corpus that a prediction reads; it also ends after about a second."""

_SAMPLE_SHARE = 100

# What an estimate may be wrong by: more than this above a limit is certain enough to be an error.
_FACTOR = 2


@dataclass(frozen=True)
class Prediction:
    """An estimate of what training will take: memory and disk space to a factor of two, time more roughly."""

    text_bytes: int
    """Bytes of text in the corpus."""

    unique_pretokens: int
    """Different pretokens."""

    memory_bytes: int
    """The most memory at a time; never more than the limit."""

    spill_bytes: int
    """The most on disk at a time for what does not fit into memory; 0 if everything fits."""

    count_seconds: float
    """Time of counting: the sample's speed times the size of the corpus."""

    merge_seconds: float
    """Time of merging."""

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
    pattern: str,
    num_threads: int,
    memory_limit: int,
    max_sample_bytes: int | None = None,
) -> Prediction | None:
    """Estimate what training will take.

    Args:
        corpus: The corpus, as `slm.tokenizer.corpus.open_corpus` gives it.
        vocab_size: As for training.
        pattern: As for training.
        num_threads: As for training.
        memory_limit: As for training, in bytes.
        max_sample_bytes: Bytes of the corpus to read; None: a hundredth, 1 MiB at least and 64 MiB at most.

    Returns:
        The estimate; None where the corpus can be read only once, as an iterator or a pipe, or has no text.

    Raises:
        OSError: A file cannot be read.
    """
    if max_sample_bytes is None:
        max_sample_bytes = min(max(corpus.total_bytes // _SAMPLE_SHARE, 1 << 20), MAX_SAMPLE_BYTES)
    found = _core.predict_training(
        corpus,
        vocab_size=vocab_size,
        pattern=pattern,
        num_threads=num_threads,
        memory_limit=memory_limit,
        max_sample_bytes=max_sample_bytes,
    )
    if found is None:
        return None
    return Prediction(**{name: getattr(found, name) for name in Prediction.__dataclass_fields__})


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
    existing = next((path for path in (bounds.spill_dir, *bounds.spill_dir.absolute().parents) if path.exists()), None)
    free = shutil.disk_usage(existing or Path("/")).free
    _compare(
        needed,
        free,
        f"`{place}` has {_in_words(free)} free, training will spill about {_in_words(needed)} there",
        "set `spill_dir` to a directory on a larger disk, or raise `memory_limit` so that less is spilled",
    )


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
