"""`slm data export` and `slm data import`: shards as the token files of other projects, and back."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slm.cli.options import DryRunOption, JsonOption, ProgressOption
from slm.cli.progress import ProgressStyle


class ExportTarget(StrEnum):
    """Whose token files can be written."""

    nanogpt = "nanogpt"
    llmc = "llmc"
    megatron = "megatron"


class ImportSource(StrEnum):
    """Whose token files can be read."""

    nanogpt = "nanogpt"
    llmc = "llmc"


OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Directory to make.", show_default=False)]


def export(
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="Shard directory.", show_default=False)],
    to: Annotated[ExportTarget, typer.Option("--to", help="Whose files to write.", show_default=False)],
    out: OutOption,
    file_tokens: Annotated[int, typer.Option(help="Most tokens in one file of llm.c.", min=1)] = 100_000_000,
    dry_run: DryRunOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Write shards as token files of nanoGPT, llm.c or Megatron-LM. The directory appears when it is complete.

    [bold]Examples[/bold]:

    slm data export shards --to nanogpt --out nanogpt   (train.bin, val.bin)

    slm data export shards --to llmc --out llmc   (train_000000.bin, ..., val_000000.bin)

    slm data export shards --to megatron --out megatron   (train.bin, train.idx, val.bin, val.idx)
    """
    from slm.cli.progress import format_amount, progress_display
    from slm.data.export import export_shards, plan_export

    if dry_run:
        planned = plan_export(shards, to=to.value, file_tokens=file_tokens)
        if json_:
            typer.echo(json.dumps({"out": str(out), "files": [asdict(file) for file in planned]}))
            return
        typer.echo(f"write {format_amount(sum(file.bytes for file in planned), 'bytes')} to {out}")
        for file in planned:
            _tell_file(file.name, file.tokens, file.bytes)
        return
    with progress_display("export", progress) as on_progress:
        exported = export_shards(shards, out, to=to.value, file_tokens=file_tokens, progress=on_progress)
    if json_:
        made = {"out": str(out), "was_complete": exported.was_complete}
        typer.echo(json.dumps(made | {"export": exported.record.model_dump(mode="json")}))
        return
    typer.echo(f"{out}" + (" (already complete, nothing was written)" if exported.was_complete else ""))
    for file in exported.record.files:
        _tell_file(file.name, file.tokens, file.bytes)


def _tell_file(name: str, tokens: int, num_bytes: int) -> None:
    from slm.cli.progress import format_amount

    held = f"{tokens:,} tokens, " if tokens else ""
    typer.echo(f"{name:<18} {held}{format_amount(num_bytes, 'bytes')}")


def import_(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Files to learn from.", show_default=False)
    ] = None,
    *,
    source: Annotated[ImportSource, typer.Option("--from", help="Whose files these are.", show_default=False)],
    tokenizer: Annotated[
        Path, typer.Option(help="Tokenizer that made the ids: a directory or tokenizer.json.", show_default=False)
    ],
    out: OutOption,
    validation: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="File to hold out. Can be repeated.", show_default=False),
    ] = None,
    shard_tokens: Annotated[int, typer.Option(help="Tokens after which a shard is closed.", min=1)] = 100_000_000,
    dry_run: DryRunOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Make shards of token files of nanoGPT or llm.c. Documents are what lies between end-of-text ids.

    [bold]Examples[/bold]:

    slm data import train.bin --validation val.bin --from nanogpt --tokenizer gpt2/ --out shards

    slm data import fineweb_train_*.bin --from llmc --tokenizer gpt2/tokenizer.json --out shards
    """
    from slm.cli.progress import format_amount, progress_display
    from slm.data.import_tokens import import_shards, open_sources
    from slm.tokenizer.tokenizer import Tokenizer

    if dry_run:
        sources = open_sources(files or [], format=source.value, validation_files=validation or [])
        found = [
            {"split": split, "path": str(file.path), "tokens": file.num_tokens}
            for split, of_split in sources.items()
            for file in of_split
        ]
        fingerprint = Tokenizer.load(tokenizer).fingerprint
        if json_:
            typer.echo(json.dumps({"out": str(out), "tokenizer": fingerprint, "files": found}))
            return
        typer.echo(f"tokenizer  {tokenizer}, {fingerprint}")
        for file in found:
            typer.echo(f"{file['split']:<11}{file['tokens']:,} ids of {file['path']}")
        typer.echo(f"write      {out}, shards of {shard_tokens:,} tokens")
        return
    with progress_display("import", progress) as on_progress:
        imported = import_shards(
            files or [],
            tokenizer,
            out,
            format=source.value,
            validation_files=validation or [],
            shard_tokens=shard_tokens,
            progress=on_progress,
        )
    manifest = imported.manifest
    if json_:
        made = {"out": str(out), "was_complete": imported.was_complete}
        typer.echo(json.dumps(made | {"manifest": manifest.model_dump(mode="json")}))
        return
    typer.echo(f"shards     {out}" + (" (already complete, nothing was written)" if imported.was_complete else ""))
    for split, totals in manifest.splits.items():
        typer.echo(
            f"{split:<11}{totals.tokens:,} tokens of {totals.documents:,} documents, "
            f"{format_amount(totals.bytes, 'bytes')} of text"
        )
    if empty := manifest.corpus.skipped.get("empty"):
        typer.echo(f"left out   {empty:,} documents without text")
