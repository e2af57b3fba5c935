"""`slm tokenizer count` and `merge-counts`: what a corpus' pretokens are and how often they occur, as a directory."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slm.cli.options import (
    ConfigArgument,
    DryRunOption,
    JsonOption,
    ProgressOption,
    SetOption,
    load_config,
    takes_config,
)
from slm.cli.progress import ProgressStyle

if TYPE_CHECKING:
    from slm.config.tokenizer import CountConfig
    from slm.tokenizer.counts import Counts


@takes_config
def count(
    config: ConfigArgument,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Count a corpus into a directory, from which training starts; killed, the same command goes on where it was.

    [bold]Example[/bold]: slm tokenizer count counts.yaml --set out=counts
    """
    from slm.cli.errors import tell
    from slm.cli.progress import format_seconds, progress_display
    from slm.cli.tokenizer import corpus_arguments
    from slm.cli.tokenizer_prediction import announce_counting
    from slm.config.tokenizer import CountConfig
    from slm.tokenizer.counts import count_pretokens

    settings = load_config(CountConfig, config, set_)
    if dry_run:
        _tell_plan(settings, json_=json_)
        return
    predicted = announce_counting(settings, progress)
    started = time.monotonic()
    try:
        with progress_display("reading", progress) as on_progress:
            counts = count_pretokens(
                list(settings.corpus.paths),
                **corpus_arguments(settings.corpus),
                out=settings.out,
                pattern=settings.pattern,
                digits=settings.digits,
                prefix_space=settings.prefix_space,
                normalization=settings.normalization,
                special_tokens=settings.special_tokens,
                chat_tokens=settings.chat_tokens,
                reserved_tokens=settings.reserved_tokens,
                special_tokens_in_text=settings.special_tokens_in_text,
                num_threads=settings.num_threads,
                memory_limit=settings.memory_limit,
                part_size=settings.part_size,
                progress=on_progress,
            )
    except KeyboardInterrupt:
        if (settings.out / "journal.json").exists():
            tell(f"finished parts are kept in `{settings.out}`; the same command goes on from there")
        raise
    foreseen = f"; foreseen {format_seconds(predicted.count_seconds)}" if predicted else ""
    _tell(counts, f"{format_seconds(time.monotonic() - started)}{foreseen}", json_=json_)


def merge_counts(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Counts directories.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Directory of the sum.", show_default=False)],
    memory_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory for reading them, such as [bold]256MiB[/bold].", show_default=False),
    ] = None,
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Add up counts, such as those that several machines made of their parts of a corpus.

    [bold]Example[/bold]: slm tokenizer merge-counts part-0 part-1 --out counts
    """
    from slm.cli.progress import format_seconds, progress_display
    from slm.tokenizer import counts as library

    started = time.monotonic()
    with progress_display("reading", progress) as on_progress:
        counts = library.merge_counts(paths, out=out, memory_limit=memory_limit, progress=on_progress)
    _tell(counts, format_seconds(time.monotonic() - started), json_=json_)


def overrides(counts: Path | None, vocab_sizes: str | None, extend: Path | None) -> list[str]:
    """The options of `slm tokenizer train` as `--set` would have them.

    Raises:
        ConfigError: A size is not a number.
    """
    from slm.errors import ConfigError

    given: list[str] = []
    for name, path in (("counts", counts), ("extend", extend)):
        if path is not None:
            given.append(f"{name}={json.dumps(str(path))}")
    if vocab_sizes is not None:
        sizes = [size.strip().replace("_", "") for size in vocab_sizes.split(",")]
        if not all(size.isascii() and size.isdigit() for size in sizes):
            raise ConfigError(f"`--vocab-sizes` is `{vocab_sizes}`, it must be numbers with commas between them")
        given += [f"vocab_sizes=[{', '.join(sizes)}]", f"vocab_size={max(map(int, sizes))}"]
    return given


def _tell_plan(settings: "CountConfig", *, json_: bool) -> None:
    from slm.cli.progress import format_amount
    from slm.cli.tokenizer import corpus_arguments
    from slm.cli.tokenizer_inspect import pattern_in_words
    from slm.cli.tokenizer_prediction import describe_counting, foresee_counting
    from slm.tokenizer.corpus import open_corpus
    from slm.tokenizer.predict import MAX_SAMPLE_BYTES

    corpus = open_corpus(list(settings.corpus.paths), **corpus_arguments(settings.corpus))
    predicted = foresee_counting(settings, max_sample_bytes=MAX_SAMPLE_BYTES)
    if json_:
        plan = {"files": len(corpus.files), "bytes": corpus.total_bytes, "settings": settings.model_dump(mode="json")}
        typer.echo(json.dumps(plan | {"prediction": None if predicted is None else asdict(predicted)}))
        return
    typer.echo(f"corpus     {len(corpus.files):,} files, {format_amount(corpus.total_bytes, 'bytes')} on disk")
    part = format_amount(settings.part_size, "bytes")
    typer.echo(f"count      pattern {pattern_in_words(settings)}, parts of {part}")
    typer.echo("\n".join(describe_counting(predicted)))
    typer.echo(f"write      {settings.out}")


def _tell(counts: "Counts", took: str, *, json_: bool) -> None:
    if json_:
        plain: dict[str, Any] = {name: getattr(counts, name) for name in counts.__dataclass_fields__}
        typer.echo(json.dumps(plain | {"path": str(counts.path), "text_bytes": counts.text_bytes}))
        return
    lines = [
        f"counts     {counts.path}, {counts.bytes:,} bytes",
        f"corpus     {counts.documents:,} documents, {counts.text_bytes:,} bytes, pattern {counts.pattern}",
        f"pretokens  {counts.pretokens:,}, {counts.unique_pretokens:,} different ones",
        f"time       {took}",
    ]
    if counts.kept_out:
        lines.append(f"split at   {', '.join(counts.kept_out)}")
    if counts.resumed_parts:
        lines.append(
            f"counted    {counts.counted_bytes:,} bytes now, {counts.resumed_parts} parts were finished before"
        )
    typer.echo("\n".join([*lines, "", f"slm tokenizer train CONFIG --counts {counts.path}"]))
