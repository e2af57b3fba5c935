"""What training and counting will take, told before they start."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slm.cli.progress import ProgressStyle, format_amount, format_seconds

if TYPE_CHECKING:
    from slm.config.tokenizer import CorpusConfig, CountConfig, TokenizerConfig
    from slm.tokenizer.predict import Prediction

# A hundredth of less than this is no sample; what takes a second needs no forecast either.
_ANNOUNCED_BYTES = 64 << 20


def announce_training(settings: "TokenizerConfig", style: ProgressStyle) -> "Prediction | None":
    """Tell on stderr what training will take, where that is not over at once; gives what was told."""
    if style is ProgressStyle.NONE or settings.counts is not None or settings.corpus is None:
        # Training on counts takes seconds.
        return None
    predicted = foresee_training(settings, settings.corpus, max_sample_bytes=None)
    return _announce(predicted, describe_training(predicted), style)


def announce_counting(settings: "CountConfig", style: ProgressStyle) -> "Prediction | None":
    """As `announce_training`, of counting; nothing is told of a count that is finished or goes on."""
    if style is ProgressStyle.NONE or any((settings.out / name).exists() for name in ("manifest.json", "journal.json")):
        return None
    predicted = foresee_counting(settings, max_sample_bytes=None)
    return _announce(predicted, describe_counting(predicted), style)


def foresee_training(
    settings: "TokenizerConfig", corpus: "CorpusConfig", *, max_sample_bytes: int | None
) -> "Prediction | None":
    """Estimate what training takes, and compare it with what there is of disk space."""
    from slm.cli.tokenizer import corpus_arguments
    from slm.tokenizer.bounds import resolve_bounds
    from slm.tokenizer.corpus import open_corpus
    from slm.tokenizer.predict import check_spill, predict_training
    from slm.tokenizer.threads import default_num_threads

    bounds = resolve_bounds(settings.memory_limit, settings.spill_dir, settings.max_spill, settings.out)
    predicted = predict_training(
        open_corpus(list(corpus.paths), **corpus_arguments(corpus)),
        vocab_size=settings.vocab_size,
        num_threads=settings.num_threads or default_num_threads(),
        memory_limit=bounds.memory_limit,
        max_sample_bytes=max_sample_bytes,
        **_splitting(settings),
    )
    if predicted is not None:
        check_spill(predicted, bounds)
    return predicted


def foresee_counting(settings: "CountConfig", *, max_sample_bytes: int | None) -> "Prediction | None":
    """Estimate what counting takes, and compare it with what there is of disk space."""
    from slm.cli.tokenizer import corpus_arguments
    from slm.tokenizer.bounds import resolve_memory_limit
    from slm.tokenizer.corpus import open_corpus
    from slm.tokenizer.predict import check_disk, predict_counting
    from slm.tokenizer.threads import default_num_threads

    predicted = predict_counting(
        open_corpus(list(settings.corpus.paths), **corpus_arguments(settings.corpus)),
        num_threads=settings.num_threads or default_num_threads(),
        memory_limit=resolve_memory_limit(settings.memory_limit),
        part_size=settings.part_size,
        max_sample_bytes=max_sample_bytes,
        **_splitting(settings),
    )
    if predicted is not None:
        check_disk(predicted, settings.out)
    return predicted


def describe_training(predicted: "Prediction | None") -> list[str]:
    """An estimate of training in words, with what it rests on."""
    if predicted is None:
        return [_NOTHING]
    spill = format_amount(predicted.spill_bytes, "bytes") if predicted.spill_bytes else "nothing"
    return _describe(predicted, f"{spill} to spill to disk")


def describe_counting(predicted: "Prediction | None") -> list[str]:
    """An estimate of counting in words, with what it rests on."""
    if predicted is None:
        return [_NOTHING]
    spill, counts = (format_amount(size, "bytes") for size in (predicted.spill_bytes, predicted.counts_bytes))
    return _describe(predicted, f"{spill} of disk on the way to {counts} of counts")


_NOTHING = "takes      cannot be told: the corpus can be read only once, or has no text"


def _describe(predicted: "Prediction", disk: str) -> list[str]:
    basis = (
        "all of it"
        if predicted.is_whole
        else f"{format_amount(predicted.sample_bytes, 'bytes')} from all over it, {predicted.sample_seconds:.1f}s"
    )
    seconds = format_seconds(predicted.count_seconds + predicted.merge_seconds)
    return [
        f"takes      about {seconds}, {format_amount(predicted.memory_bytes, 'bytes')} of memory, {disk}",
        f"           ({format_amount(predicted.text_bytes, 'bytes')} of text with about "
        f"{predicted.unique_pretokens:,} different pretokens; estimated from {basis})",
    ]


def _announce(predicted: "Prediction | None", described: list[str], style: ProgressStyle) -> "Prediction | None":
    from slm.cli.errors import tell, tell_json

    if predicted is None or (predicted.text_bytes < _ANNOUNCED_BYTES and style is not ProgressStyle.JSON):
        return None
    if style is ProgressStyle.JSON:
        tell_json({"event": "plan", "prediction": asdict(predicted)})
    else:
        tell("\n".join(described), style="dim")
    return predicted


def _splitting(settings: "TokenizerConfig | CountConfig") -> dict[str, Any]:
    names = ("pattern", "digits", "prefix_space", "normalization")
    special_tokens = ("special_tokens", "chat_tokens", "reserved_tokens", "special_tokens_in_text")
    return {name: getattr(settings, name) for name in names + special_tokens}
