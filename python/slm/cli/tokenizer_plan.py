"""What `slm tokenizer train` says before it starts, and when it is done."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from slm.cli.progress import ProgressStyle, format_amount, format_seconds
from slm.cli.tokenizer_inspect import pattern_in_words

if TYPE_CHECKING:
    from pathlib import Path

    from slm.config.tokenizer import CorpusConfig, TokenizerConfig
    from slm.tokenizer.predict import Prediction
    from slm.tokenizer.tokenizer import Tokenizer

# A hundredth of less than this is no sample; what takes a second needs no forecast either.
_ANNOUNCED_BYTES = 64 << 20


def tell_plan(settings: "TokenizerConfig", *, json_: bool) -> None:
    """Print what would be done, and what it would take."""
    from slm.cli.tokenizer import corpus_arguments
    from slm.tokenizer.corpus import open_corpus
    from slm.tokenizer.counts import Counts
    from slm.tokenizer.predict import MAX_SAMPLE_BYTES

    sizes = ", ".join(f"{size:,}" for size in settings.vocab_sizes or (settings.vocab_size,))
    if settings.counts is not None or settings.corpus is None:
        counts = Counts.load(settings.counts or "")
        if json_:
            typer.echo(json.dumps({"bytes": counts.bytes, "settings": settings.model_dump(mode="json")}))
            return
        typer.echo(f"counts     {counts.path}, {counts.unique_pretokens:,} different pretokens")
        typer.echo(f"learn      {sizes} tokens, pattern {counts.pattern}")
        typer.echo(f"write      {settings.out}")
        return
    corpus = open_corpus(list(settings.corpus.paths), **corpus_arguments(settings.corpus))
    predicted = _predict(settings, settings.corpus, max_sample_bytes=MAX_SAMPLE_BYTES)
    num_files, num_bytes = len(corpus.files), corpus.total_bytes
    if json_:
        plan = {"files": num_files, "bytes": num_bytes, "settings": settings.model_dump(mode="json")}
        typer.echo(json.dumps(plan | {"prediction": None if predicted is None else asdict(predicted)}))
        return
    typer.echo(f"corpus     {num_files:,} files, {format_amount(num_bytes, 'bytes')} on disk")
    typer.echo(f"learn      {sizes} tokens, pattern {pattern_in_words(settings)}")
    typer.echo("\n".join(_describe(predicted)))
    typer.echo(f"write      {settings.out}")


def announce(settings: "TokenizerConfig", style: ProgressStyle) -> None:
    """Tell on stderr what training will take, where that is not over at once."""
    from slm.cli.errors import tell, tell_json

    if settings.counts is not None or settings.corpus is None:
        # Training on counts takes seconds.
        return
    predicted = _predict(settings, settings.corpus, max_sample_bytes=None)
    if predicted is None or (predicted.text_bytes < _ANNOUNCED_BYTES and style is not ProgressStyle.JSON):
        return
    if style is ProgressStyle.JSON:
        tell_json({"event": "plan", "prediction": asdict(predicted)})
    else:
        tell("\n".join(_describe(predicted)), style="dim")


def summary(settings: "TokenizerConfig", vocab_size: int, out: "Path", tokenizer: "Tokenizer") -> str:
    """What was made, of what, and what it took; with what to type next."""
    from slm.cli.tokenizer import left_out
    from slm.tokenizer.record import describe_giants

    record = tokenizer.training or {}
    corpus, counts, seconds = record["corpus"], record["counts"], record["seconds"]
    limit, peak = record["config"]["memory_limit"], record["peak_memory_bytes"]
    lines = [
        f"tokenizer  {out}",
        f"tokens     {tokenizer.vocab_size:,}, {len(tokenizer.merges()):,} merges",
        f"pattern    {pattern_in_words(tokenizer)}",
        f"corpus     {corpus['documents']:,} documents, {corpus['bytes']:,} bytes, "
        f"{counts['unique_pretokens']:,} different pretokens",
        f"           {left_out(corpus['skipped'], corpus['replaced_sequences'])}",
        f"time       {seconds['count']:.1f}s counting, {seconds['merge']:.1f}s merging",
    ]
    if peak:
        bounded = f", limit {format_amount(limit, 'bytes')} besides what Python and reading take" if limit else ""
        lines.append(f"memory     {format_amount(peak, 'bytes')} at most{bounded}")
    if record["spilled_bytes"]:
        lines.append(f"spilled    {format_amount(record['spilled_bytes'], 'bytes')}")
    if tokenizer.vocab_size < vocab_size:
        lines.append(f"note       the corpus has no more pairs, so {vocab_size:,} tokens were not reached")
    if describe_giants(record):
        lines.append(
            f"note       the longest pretoken has {counts['longest_bytes']:,} bytes, see the warning; it begins with "
            f"{counts['longest_begins'][:40]!r}"
        )
    return "\n".join([*lines, "", f"slm tokenizer inspect {out}", f"slm tokenizer encode {out} TEXT"])


def _predict(
    settings: "TokenizerConfig", corpus: "CorpusConfig", *, max_sample_bytes: int | None
) -> "Prediction | None":
    """Estimate, and compare with what there is of disk space."""
    from slm.cli.tokenizer import corpus_arguments
    from slm.tokenizer.bounds import resolve_bounds
    from slm.tokenizer.corpus import open_corpus
    from slm.tokenizer.predict import check_spill, predict_training
    from slm.tokenizer.threads import default_num_threads

    bounds = resolve_bounds(settings.memory_limit, settings.spill_dir, settings.max_spill, settings.out)
    predicted = predict_training(
        open_corpus(list(corpus.paths), **corpus_arguments(corpus)),
        vocab_size=settings.vocab_size,
        pattern=settings.pattern,
        num_threads=settings.num_threads or default_num_threads(),
        memory_limit=bounds.memory_limit,
        max_sample_bytes=max_sample_bytes,
    )
    if predicted is not None:
        check_spill(predicted, bounds)
    return predicted


def _describe(predicted: "Prediction | None") -> list[str]:
    """An estimate in words, with what it rests on."""
    if predicted is None:
        return ["takes      cannot be told: the corpus can be read only once, or has no text"]
    spill = format_amount(predicted.spill_bytes, "bytes") if predicted.spill_bytes else "nothing"
    seconds = predicted.count_seconds + predicted.merge_seconds
    basis = (
        "all of it"
        if predicted.is_whole
        else f"{format_amount(predicted.sample_bytes, 'bytes')} from all over it, {predicted.sample_seconds:.1f}s"
    )
    return [
        f"takes      about {format_seconds(seconds)}, {format_amount(predicted.memory_bytes, 'bytes')} of memory, "
        f"{spill} to spill to disk",
        f"           ({format_amount(predicted.text_bytes, 'bytes')} of text with about "
        f"{predicted.unique_pretokens:,} different pretokens; estimated from {basis})",
    ]
