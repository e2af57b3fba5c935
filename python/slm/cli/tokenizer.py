"""`slm tokenizer`: train a tokenizer, look inside it, encode and decode."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slm.cli.nouns import noun_with_commands
from slm.cli.options import ConfigOption, DryRunOption, JsonOption, SetOption, load_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slm.config.tokenizer import CorpusConfig, TokenizerConfig
    from slm.tokenizer.inspect import SampleReport, TokenizerReport
    from slm.tokenizer.tokenizer import Tokenizer

app = noun_with_commands("Train a tokenizer, look inside it, encode and decode.")

_SAMPLE_BYTES = 8 << 20
_SHOWN_TOKENS = 200

TokenizerArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Tokenizer directory, or a tokenizer.json.", show_default=False)
]


@app.command()
def train(
    config: ConfigOption, set_: SetOption = None, dry_run: DryRunOption = False, json_: JsonOption = False
) -> None:
    """Learn a tokenizer from a corpus; the same config makes the same tokenizer, with any number of threads.

    [bold]Example[/bold]: slm tokenizer train -c configs/tokenizer/8k.yaml --set out=tok
    """
    from slm.cli.progress import progress_display
    from slm.config.tokenizer import TokenizerConfig
    from slm.tokenizer.train import train_tokenizer

    settings = load_config(TokenizerConfig, config, set_)
    if dry_run:
        _tell_plan(settings, json_=json_)
        return
    with progress_display("reading") as on_progress:
        tokenizer = train_tokenizer(
            list(settings.corpus.paths),
            **corpus_arguments(settings.corpus),
            vocab_size=settings.vocab_size,
            pattern=settings.pattern,
            special_tokens=settings.special_tokens,
            min_frequency=settings.min_frequency,
            max_token_length=settings.max_token_length,
            max_token_bytes=settings.max_token_bytes,
            initial_alphabet=settings.initial_alphabet,
            num_threads=settings.num_threads,
            memory_limit=settings.memory_limit,
            spill_dir=settings.spill_dir,
            max_spill=settings.max_spill,
            progress=on_progress,
            out=settings.out,
        )
    if json_:
        made = {"out": str(settings.out), "fingerprint": tokenizer.fingerprint, "training": tokenizer.training}
        typer.echo(json.dumps(made | {"vocab_size": tokenizer.vocab_size, "merges": len(tokenizer.merges())}))
        return
    typer.echo(_summary(settings, tokenizer))


@app.command()
def inspect(
    tokenizer: TokenizerArgument,
    sample: Annotated[
        Path | None,
        typer.Option("--sample", metavar="FILE", help="Text to measure compression on.", show_default=False),
    ] = None,
    longest: Annotated[int, typer.Option(help="How many of the longest tokens to list.", min=0)] = 20,
    json_: JsonOption = False,
) -> None:
    """Show sizes, longest and unreachable tokens, and what the tokenizer does to a sample.

    [bold]Example[/bold]: slm tokenizer inspect tok --sample README.md
    """
    from slm.tokenizer.inspect import inspect_sample, inspect_tokenizer
    from slm.tokenizer.tokenizer import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    text = None if sample is None else _read_sample(sample)
    report = inspect_tokenizer(loaded, num_longest=longest)
    measured = None if text is None else inspect_sample(loaded, text)
    if json_:
        from slm.cli.tokens import readable

        plain = asdict(report)
        for key in ("longest", "unreachable"):
            plain[key] = [{"id": token["id"], "text": readable(token["bytes"])} for token in plain[key]]
        typer.echo(json.dumps(plain | {"sample": None if measured is None else asdict(measured)}))
        return
    _show_report(report)
    if text is not None and measured is not None:
        _show_sample(loaded, text, measured)


@app.command()
def encode(
    tokenizer: TokenizerArgument,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The text; stdin if left out.", show_default=False)
    ] = None,
    parse_special: Annotated[
        bool, typer.Option("--parse-special", help="Let the text of a special token be that token.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show the tokens themselves, coloured, in place of ids.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Print the ids of a text, with spaces between them.

    [bold]Example[/bold]: slm tokenizer encode tok "to be or not to be"
    """
    from slm.tokenizer.tokenizer import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    ids = loaded.encode(_read_stdin_text() if text is None else text, parse_special=parse_special).tolist()
    if json_:
        typer.echo(json.dumps({"ids": ids}))
    elif show:
        _show_tokens([loaded.token_bytes(token_id) for token_id in ids])
    else:
        typer.echo(" ".join(map(str, ids)))


@app.command()
def decode(
    tokenizer: TokenizerArgument,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Token ids; stdin if left out.", show_default=False)
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Print the text that ids stand for, byte for byte and without a line feed at the end.

    [bold]Example[/bold]: slm tokenizer encode tok "to be" | slm tokenizer decode tok
    """
    from slm.tokenizer.tokenizer import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    numbers = _parse_ids(ids if ids else sys.stdin.read().split())
    if json_:
        typer.echo(json.dumps({"text": loaded.decode(numbers)}))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(loaded.decode_bytes(numbers))
    sys.stdout.buffer.flush()


def corpus_arguments(corpus: "CorpusConfig") -> dict[str, Any]:
    """The settings of a corpus besides its paths, as the library takes them."""
    return {
        "documents": corpus.documents,
        "separator": corpus.separator,
        "format": corpus.format,
        "field": corpus.field,
        "invalid_utf8": corpus.invalid_utf8,
    }


def left_out(skipped: "Mapping[str, int]", replaced_sequences: int) -> str:
    """What of a corpus was skipped or replaced, by reason."""
    parts = [f"{count:,} {reason}" for reason, count in skipped.items() if count]
    text = f"skipped {', '.join(parts) or 'nothing'}"
    return f"{text}; replaced {replaced_sequences:,} sequences that are not UTF-8" if replaced_sequences else text


def _tell_plan(settings: "TokenizerConfig", *, json_: bool) -> None:
    from slm.cli.progress import format_amount
    from slm.tokenizer.corpus import open_corpus

    corpus = open_corpus(list(settings.corpus.paths), **corpus_arguments(settings.corpus))
    num_files, num_bytes = len(corpus.files), corpus.total_bytes
    if json_:
        plan = {"files": num_files, "bytes": num_bytes, "settings": settings.model_dump(mode="json")}
        typer.echo(json.dumps(plan))
        return
    typer.echo(f"corpus     {num_files:,} files, {format_amount(num_bytes, 'bytes')} on disk")
    typer.echo(f"learn      {settings.vocab_size:,} tokens, pattern {settings.pattern}")
    typer.echo(f"write      {settings.out}")


def _summary(settings: "TokenizerConfig", tokenizer: "Tokenizer") -> str:
    record = tokenizer.training or {}
    corpus, counts, seconds = record["corpus"], record["counts"], record["seconds"]
    lines = [
        f"tokenizer  {settings.out}",
        f"tokens     {tokenizer.vocab_size:,}, {len(tokenizer.merges()):,} merges, pattern {tokenizer.pattern}",
        f"corpus     {corpus['documents']:,} documents, {corpus['bytes']:,} bytes, "
        f"{counts['unique_pretokens']:,} different pretokens",
        f"           {left_out(corpus['skipped'], corpus['replaced_sequences'])}",
        f"time       {seconds['count']:.1f}s counting, {seconds['merge']:.1f}s merging",
    ]
    if record["spilled_bytes"]:
        lines.append(f"spilled    {record['spilled_bytes']:,} bytes, {record['passes']} passes over the counts")
    if tokenizer.vocab_size < settings.vocab_size:
        lines.append(f"note       the corpus has no more pairs, so {settings.vocab_size:,} tokens were not reached")
    return "\n".join([*lines, "", f"slm tokenizer inspect {settings.out}", f"slm tokenizer encode {settings.out} TEXT"])


def _show_report(report: "TokenizerReport") -> None:
    from rich.console import Console
    from rich.table import Table

    from slm.cli.tokens import readable

    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    special = ", ".join(f"{content} ({token_id})" for content, token_id in report.special_tokens.items()) or "none"
    unreachable = " ".join(f"{token.id}:{readable(token.bytes)!r}" for token in report.unreachable[:20])
    more = f" and {len(report.unreachable) - 20:,} more" if len(report.unreachable) > 20 else ""
    rows = {
        "tokens": f"{report.vocab_size:,}",
        "merges": f"{report.merges:,}",
        "special tokens": special,
        "pattern": report.pattern,
        "fingerprint": report.fingerprint,
        "mean length": f"{report.mean_token_bytes:.2f} bytes",
        "parts of characters": f"{report.incomplete_utf8:,} tokens are not whole UTF-8",
        "bytes without a token": f"{report.missing_bytes}",
        "unreachable": f"{len(report.unreachable):,}" + (f": {unreachable}{more}" if report.unreachable else ""),
    }
    for name, value in rows.items():
        table.add_row(name, value, style=None)
    console.print(table, markup=False)
    _show_lengths(console, report.tokens_by_length)
    if report.longest:
        console.print("\nlongest tokens", style="bold")
        for token in report.longest:
            console.print(f"{token.id:>8}  {len(token.bytes):>3} bytes  {readable(token.bytes)!r}", markup=False)


def _show_lengths(console: Any, tokens_by_length: dict[int, int]) -> None:
    """Draw how many tokens have how many bytes."""
    console.print("\ntokens by length in bytes", style="bold")
    most = max(tokens_by_length.values(), default=1)
    for length, count in sorted(tokens_by_length.items()):
        console.print(f"{length:>8}  {count:>7,}  {'█' * round(40 * count / most)}", markup=False)


def _show_sample(tokenizer: "Tokenizer", text: str, measured: "SampleReport") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print("\nsample", style="bold")
    console.print(
        f"{measured.bytes:,} bytes become {measured.tokens:,} tokens: "
        f"{measured.bytes_per_token:.3f} bytes a token, {measured.characters_per_token:.3f} characters a token\n"
        f"{measured.distinct_tokens:,} different tokens occur, {measured.vocab_used:.1%} of the vocabulary\n",
        markup=False,
    )
    ids = tokenizer.encode(text[: 8 * _SHOWN_TOKENS])[:_SHOWN_TOKENS]
    _show_tokens([tokenizer.token_bytes(token_id) for token_id in ids.tolist()])


def _show_tokens(tokens: list[bytes]) -> None:
    from rich.console import Console

    from slm.cli.tokens import tokens_as_text

    console = Console(highlight=False)
    console.print(tokens_as_text(tokens, in_colour=console.color_system is not None), soft_wrap=not console.is_terminal)


def _read_sample(path: Path) -> str:
    """The beginning of a text file, cut between characters."""
    with path.open("rb") as file:
        content = file.read(_SAMPLE_BYTES)
    # The cut may have gone through the last character; anything else that is not UTF-8 is an error.
    is_cut = len(content) == _SAMPLE_BYTES
    return _decode_utf8(content, f"`{path}`", is_cut=is_cut)


def _read_stdin_text() -> str:
    return _decode_utf8(sys.stdin.buffer.read(), "stdin", is_cut=False)


def _decode_utf8(content: bytes, place: str, *, is_cut: bool) -> str:
    from slm.errors import DataError

    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if is_cut and error.start > len(content) - 4:
            return content[: error.start].decode()
        raise DataError(
            f"{place} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}\n\n"
            "hint: convert it, for example with `iconv -f latin1 -t utf-8`"
        ) from None


def _parse_ids(words: list[str]) -> list[int]:
    from slm.errors import ConfigError

    for word in words:
        if not (word.isascii() and word.isdigit()):
            raise ConfigError(f"`{word}` is not a token id\n\nhint: give numbers with spaces between them")
    return [int(word) for word in words]
