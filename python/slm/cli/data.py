"""`slm data`: turn text into token shards, look inside them, verify them, exchange them with other tools."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slm.cli.data_exchange import export, import_
from slm.cli.nouns import noun_with_commands
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
    from slm.config.data import DataConfig
    from slm.data.build import BuildResult
    from slm.data.inspect import SourceReport, SplitReport
    from slm.tokenizer.tokenizer import Tokenizer

app = noun_with_commands("Turn text into token shards, look inside them, verify them, and exchange them.")
app.command("export")(export)
app.command("import")(import_)

# Sources that people are shown; programs get all of them.
_MAX_SOURCES = 20

ShardsArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Shard directory.", show_default=False)]


@app.command()
@takes_config
def build(
    config: ConfigArgument,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Encode a corpus into shards. Interrupted and started again, it makes the same shards; done, it does nothing.

    [bold]Example[/bold]: slm data build configs/data/8k.yaml --set out=shards
    """
    from slm.cli.progress import progress_display
    from slm.cli.tokenizer import corpus_arguments
    from slm.config.data import DataConfig
    from slm.data.build import build_from
    from slm.tokenizer.corpus import open_corpus
    from slm.tokenizer.tokenizer import Tokenizer

    settings = load_config(DataConfig, config, set_)
    tokenizer = Tokenizer.load(settings.tokenizer)
    corpus = open_corpus(list(settings.corpus.paths), **corpus_arguments(settings.corpus))
    if dry_run:
        _tell_plan(settings, tokenizer, len(corpus.files), corpus.total_bytes, json_=json_)
        return
    with progress_display("reading", progress) as on_progress:
        built = build_from(
            corpus,
            tokenizer,
            settings.out,
            validation_fraction=settings.validation_fraction,
            shard_tokens=settings.shard_tokens,
            deduplicate=settings.deduplicate,
            num_threads=settings.num_threads,
            memory_limit=settings.memory_limit,
            progress=on_progress,
        )
    if json_:
        made = {
            "out": str(settings.out),
            "was_complete": built.was_complete,
            "resumed_shards": built.resumed_shards,
            "encoded_bytes": built.encoded_bytes,
            "peak_memory_bytes": built.peak_memory_bytes,
        }
        typer.echo(json.dumps(made | {"manifest": built.manifest.model_dump(mode="json")}))
        return
    typer.echo(_summary(settings.out, built))


@app.command()
def inspect(
    shards: ShardsArgument,
    documents: Annotated[int, typer.Option(help="Documents of each split to show.", min=0)] = 2,
    max_tokens: Annotated[int, typer.Option(help="Tokens of each document to show.", min=1)] = 200,
    json_: JsonOption = False,
) -> None:
    """Show totals, shares of the corpus' paths, lengths of documents, and documents with their token borders.

    [bold]Example[/bold]: slm data inspect shards --documents 5
    """
    from slm.data.inspect import inspect_sources, inspect_splits

    splits, sources = inspect_splits(shards), inspect_sources(shards)
    if json_:
        _tell_inspection(shards, splits, sources, documents, max_tokens)
        return
    _show_manifest(shards)
    _show_sources(sources)
    for split in splits:
        _show_split(split)
    for split in splits:
        _show_documents(shards, split.split, documents, max_tokens)


@app.command()
def verify(shards: ShardsArgument, progress: ProgressOption = ProgressStyle.AUTO, json_: JsonOption = False) -> None:
    """Hash every shard and compare it with the manifest; exit code 1 names the first file that differs.

    [bold]Example[/bold]: slm data verify shards
    """
    from slm.cli.progress import format_amount, progress_display
    from slm.data.verify import verify_shards

    with progress_display("verify", progress) as on_progress:
        checked = verify_shards(shards, progress=on_progress)
    if json_:
        typer.echo(json.dumps(asdict(checked)))
    else:
        typer.echo(f"{shards}: {checked.files:,} files, {format_amount(checked.bytes, 'bytes')}, as the manifest says")


def _tell_plan(settings: "DataConfig", tokenizer: "Tokenizer", num_files: int, num_bytes: int, *, json_: bool) -> None:
    from slm.cli.progress import format_amount
    from slm.tokenizer.bounds import resolve_memory_limit
    from slm.tokenizer.threads import default_num_threads

    if json_:
        plan = {"files": num_files, "bytes": num_bytes, "tokenizer": tokenizer.fingerprint}
        typer.echo(json.dumps(plan | {"settings": settings.model_dump(mode="json")}))
        return
    typer.echo(f"corpus     {num_files:,} files, {format_amount(num_bytes, 'bytes')} on disk")
    typer.echo(f"tokenizer  {settings.tokenizer}, {tokenizer.vocab_size:,} tokens, pattern {tokenizer.pattern}")
    typer.echo(f"hold out   {settings.validation_fraction:.2%} of the documents")
    if settings.deduplicate:
        typer.echo("leave out  documents that are equal to one before them")
    typer.echo(f"write      {settings.out}, shards of {settings.shard_tokens:,} tokens")
    limit = resolve_memory_limit(settings.memory_limit) >> 20
    typer.echo(
        f"memory     {limit:,} MiB, and 32 MiB for each of {settings.num_threads or default_num_threads()} threads"
    )


def _summary(out: Path, built: "BuildResult") -> str:
    from slm.cli.progress import format_amount
    from slm.cli.tokenizer import left_out

    manifest = built.manifest
    before = f" ({built.resumed_shards:,} of them finished before)" if built.resumed_shards else ""
    lines = [f"shards     {out}" + (" (already complete, nothing was written)" if built.was_complete else before)]
    for split, totals in manifest.splits.items():
        text_tokens = totals.tokens - totals.documents
        ratio = f", {totals.bytes / text_tokens:.3f} bytes a token" if text_tokens else ""
        lines.append(
            f"{split:<11}{totals.tokens:,} tokens of {totals.documents:,} documents, "
            f"{format_amount(totals.bytes, 'bytes')}{ratio}"
        )
    lines.append(f"corpus     {left_out(manifest.corpus.skipped, manifest.corpus.replaced_sequences)}")
    lines += [f"           {complaint}" for complaint in manifest.corpus.first_skipped]
    if built.peak_memory_bytes:
        lines.append(f"memory     {built.peak_memory_bytes / (1 << 20):,.0f} MiB at the peak")
    return "\n".join([*lines, "", f"slm data inspect {out}", f"slm data verify {out}"])


def _show_manifest(shards: Path) -> None:
    from slm.cli.tokenizer import left_out
    from slm.data.manifest import Manifest

    manifest = Manifest.load(shards)
    skipped = left_out(manifest.corpus.skipped, manifest.corpus.replaced_sequences)
    typer.echo(
        f"tokenizer  {manifest.tokenizer.fingerprint}, {manifest.tokenizer.vocab_size:,} tokens, "
        f"pattern {manifest.tokenizer.pattern}\n"
        f"stored as  {manifest.dtype}, each document ends with {manifest.tokenizer.end_of_text_id}\n"
        f"corpus     {manifest.corpus.documents:,} documents in {manifest.corpus.files:,} files; {skipped}"
    )
    for complaint in manifest.corpus.first_skipped:
        typer.echo(f"           {complaint}")


def _tell_inspection(
    shards: Path, splits: "list[SplitReport]", sources: "list[SourceReport]", documents: int, max_tokens: int
) -> None:
    from slm.data.inspect import read_documents
    from slm.data.manifest import Manifest

    shown = [
        asdict(document) | {"tokens": [token.decode("utf-8", "backslashreplace") for token in document.tokens]}
        for split in splits
        for document in read_documents(shards, split.split, count=documents, max_tokens=max_tokens)
    ]
    inspection = {
        "corpus": Manifest.load(shards).corpus.model_dump(mode="json"),
        "splits": [asdict(split) for split in splits],
        "sources": [asdict(source) for source in sources],
        "documents": shown,
    }
    typer.echo(json.dumps(inspection))


def _show_sources(sources: "list[SourceReport]") -> None:
    """The largest sources with their shares of the ids."""
    from rich.console import Console

    if not sources:
        return
    console = Console(highlight=False)
    largest = sorted(sources, key=lambda source: -source.tokens)[:_MAX_SOURCES]
    console.print("\nsources", style="bold")
    for source in largest:
        ratio = "" if source.bytes_per_token is None else f"{source.bytes_per_token:6.3f} bytes a token"
        skipped = sum(source.skipped.values())
        console.print(
            f"{source.share:>6.1%}  {source.tokens:>15,} tokens  {source.documents:>11,} documents  {ratio}"
            + (f"  {skipped:,} skipped" if skipped else ""),
            soft_wrap=True,
        )
        path = (
            "documents in memory"
            if source.path is None
            else f"{source.path} ({source.files:,} {'file' if source.files == 1 else 'files'})"
        )
        console.print(f"        {path}", style="dim", markup=False, soft_wrap=True)
    if len(sources) > len(largest):
        share = 1 - sum(source.share for source in largest)
        console.print(f"{share:>6.1%}  in {len(sources) - len(largest):,} more")


def _show_split(split: "SplitReport") -> None:
    from rich.console import Console

    from slm.cli.progress import format_amount

    console = Console(highlight=False)
    ratio = "" if split.bytes_per_token is None else f", {split.bytes_per_token:.3f} bytes a token"
    console.print(f"\n{split.split}", style="bold")
    console.print(
        f"{split.tokens:,} tokens of {split.documents:,} documents in {split.shards:,} shards, "
        f"{format_amount(split.bytes, 'bytes')}{ratio}"
    )
    if not split.lengths:
        return
    console.print(f"tokens of a document: {split.shortest:,} to {split.longest:,}, median {split.median:,.0f}")
    most = max(length.documents for length in split.lengths)
    width = max(10, min(40, console.width - 43))
    for length in split.lengths:
        bar = "█" * round(width * length.documents / most)
        console.print(f"{length.at_least:>12,} to {length.below - 1:>12,}  {length.documents:>10,}  {bar}")


def _show_documents(shards: Path, split: str, count: int, max_tokens: int) -> None:
    from rich.console import Console

    from slm.cli.tokens import tokens_as_text
    from slm.data.inspect import read_documents

    console = Console(highlight=False)
    for document in read_documents(shards, split, count=count, max_tokens=max_tokens):
        hidden = document.num_tokens - 1 - len(document.tokens)
        console.print(f"\n{split}: document {document.document_idx} of {document.shard}", style="bold")
        shown: Any = tokens_as_text(document.tokens, in_colour=console.color_system is not None)
        console.print(shown, soft_wrap=not console.is_terminal)
        if hidden > 0:
            console.print(f"... and {hidden:,} tokens more", style="dim")
