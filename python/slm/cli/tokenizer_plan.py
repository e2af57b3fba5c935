"""What `slm tokenizer train` says before it starts, and when it is done."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from slm.cli.progress import format_amount, format_seconds
from slm.cli.tokenizer_inspect import pattern_in_words
from slm.cli.tokenizer_prediction import describe_training, foresee_training

if TYPE_CHECKING:
    from pathlib import Path

    from slm.config.tokenizer import TokenizerConfig
    from slm.tokenizer.predict import Prediction
    from slm.tokenizer.tokenizer import Tokenizer


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
    predicted = foresee_training(settings, settings.corpus, max_sample_bytes=MAX_SAMPLE_BYTES)
    num_files, num_bytes = len(corpus.files), corpus.total_bytes
    if json_:
        plan = {"files": num_files, "bytes": num_bytes, "settings": settings.model_dump(mode="json")}
        typer.echo(json.dumps(plan | {"prediction": None if predicted is None else asdict(predicted)}))
        return
    typer.echo(f"corpus     {num_files:,} files, {format_amount(num_bytes, 'bytes')} on disk")
    typer.echo(f"learn      {sizes} tokens, pattern {pattern_in_words(settings)}")
    typer.echo("\n".join(describe_training(predicted)))
    typer.echo(f"write      {settings.out}")


def summary(
    settings: "TokenizerConfig",
    vocab_size: int,
    out: "Path",
    tokenizer: "Tokenizer",
    predicted: "Prediction | None" = None,
) -> str:
    """What was made, of what, and what it took, beside what was foreseen; with what to type next."""
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
        *(f"           {complaint}" for complaint in corpus.get("first_skipped", ())),
        f"time       {seconds['count']:.1f}s counting, {seconds['merge']:.1f}s merging"
        + _foreseen(predicted and format_seconds(predicted.count_seconds + predicted.merge_seconds)),
    ]
    if peak:
        bounded = f", limit {format_amount(limit, 'bytes')} besides what Python and reading take" if limit else ""
        lines.append(f"memory     {format_amount(peak, 'bytes')} at most{bounded}")
    if record["spilled_bytes"]:
        foreseen = predicted and f"{format_amount(predicted.spill_bytes, 'bytes')} at a time"
        at_once = record.get("spill_peak_bytes")
        together = f", {format_amount(at_once, 'bytes')} at most at a time" if at_once else ""
        total = format_amount(record["spilled_bytes"], "bytes")
        lines.append(f"spilled    {total} in all{together}{_foreseen(foreseen)}")
    if tokenizer.vocab_size < vocab_size:
        lines.append(f"note       the corpus has no more pairs, so {vocab_size:,} tokens were not reached")
    if describe_giants(record):
        lines.append(
            f"note       the longest pretoken has {counts['longest_bytes']:,} bytes, see the warning; it begins with "
            f"{counts['longest_begins'][:40]!r}"
        )
    return "\n".join([*lines, "", f"slm tokenizer inspect {out}", f"slm tokenizer encode {out} TEXT"])


def _foreseen(amount: str | None) -> str:
    return f"; foreseen {amount}" if amount else ""
