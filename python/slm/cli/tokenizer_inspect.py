"""`slm tokenizer inspect`: what a tokenizer is made of, and what it does to a text."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slm.cli.options import JsonOption
from slm.cli.tokenizer_encode import TokenizerArgument, show_tokens

if TYPE_CHECKING:
    from slm.config.tokenizer import CountConfig, TokenizerConfig
    from slm.tokenizer.compare import Compression
    from slm.tokenizer.inspect import TokenizerReport
    from slm.tokenizer.measure import SampleReport
    from slm.tokenizer.tokenizer import Tokenizer

_SHOWN_TOKENS = 200
_BAR = 40


def inspect(
    tokenizer: TokenizerArgument,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            "--text",
            "--sample",
            metavar="PATH",
            help="Text to measure on: a file, directory or glob, as a corpus has them. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    field: Annotated[str, typer.Option(help="Field of the text in jsonl files.")] = "text",
    max_bytes: Annotated[
        str, typer.Option(metavar="SIZE", help="How much of the text to read, from all over it.")
    ] = "16MiB",
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Compare compression with another tokenizer: a directory, a tokenizer.json, or an encoding of "
            "tiktoken whose files are on this machine, such as [bold]cl100k_base[/bold]. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    longest: Annotated[int, typer.Option(help="How many of the longest tokens to list.", min=0)] = 20,
    json_: JsonOption = False,
) -> None:
    """Show a tokenizer's tokens and merges and, given a text, its compression, coverage and scripts.

    [bold]Example[/bold]: slm tokenizer inspect tok --text README.md --against other/tokenizer.json
    """
    from slm.errors import ConfigError
    from slm.tokenizer.compare import compare_compression
    from slm.tokenizer.inspect import inspect_tokenizer
    from slm.tokenizer.measure import inspect_sample
    from slm.tokenizer.tokenizer import Tokenizer

    if against and not text:
        raise ConfigError("`--against` compares on a text\n\nhint: add `--text FILE`")
    loaded = Tokenizer.load(tokenizer)
    texts = _read_texts(text, field, max_bytes) if text else []
    compared = compare_compression(texts, against or [])
    report = inspect_tokenizer(loaded, num_longest=longest)
    measured = inspect_sample(loaded, texts) if text else None
    if json_:
        typer.echo(json.dumps(_as_json(report, measured, compared)))
        return
    _show_report(report)
    if measured is not None:
        _show_sample(loaded, texts, measured)
        _show_compared(str(tokenizer), loaded.vocab_size, measured, compared)


def _read_texts(paths: list[Path], field: str, max_bytes: str) -> list[str]:
    """About so many bytes of text, from all over the files."""
    from slm.errors import DataError
    from slm.sizes import parse_size
    from slm.tokenizer.corpus import open_corpus
    from slm.tokenizer.measure import read_sample

    corpus = open_corpus(list(paths), field=field, invalid_utf8="replace")
    texts = read_sample(corpus, parse_size(max_bytes, "--max-bytes"))
    if not texts:
        named = ", ".join(f"`{path}`" for path in paths)
        raise DataError(f"there is no text in {named}\n\nhint: pipes cannot be read here, and jsonl needs `--field`")
    return texts


def _as_json(
    report: "TokenizerReport", measured: "SampleReport | None", compared: "tuple[Compression, ...]"
) -> dict[str, Any]:
    from slm.cli.tokens import readable

    plain = asdict(report)
    for key in ("longest", "unreachable"):
        plain[key] = [{"id": token["id"], "text": readable(token["bytes"])} for token in plain[key]]
    sample = None if measured is None else asdict(measured)
    return plain | {"sample": sample, "against": [asdict(other) for other in compared]}


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
        "pattern": pattern_in_words(report),
        "fingerprint": report.fingerprint,
        "mean length": f"{report.mean_token_bytes:.2f} bytes",
        "bytes without a token": f"{report.missing_bytes}",
        "unreachable": f"{len(report.unreachable):,}" + (f": {unreachable}{more}" if report.unreachable else ""),
    }
    for name, value in rows.items():
        table.add_row(name, value, style=None)
    console.print(table, markup=False)
    _show_bars(console, "tokens by length in bytes", report.tokens_by_length)
    _show_bars(console, "tokens by script", report.tokens_by_script)
    if report.merge_curve:
        _show_curve(console, report.merge_curve)
    if report.longest:
        console.print("\nlongest tokens", style="bold")
        for token in report.longest:
            console.print(f"{token.id:>8}  {len(token.bytes):>3} bytes  {readable(token.bytes)!r}", markup=False)


def pattern_in_words(of: "TokenizerReport | TokenizerConfig | CountConfig | Tokenizer") -> str:
    """The pattern with its options, in one line."""
    options = [
        "" if of.digits is None else f"digits {of.digits}",
        "prefix space" if of.prefix_space else "",
        of.normalization or "",
    ]
    return ", ".join([of.pattern, *filter(None, options)])


def _show_bars(console: Any, title: str, counts: dict[Any, int]) -> None:
    """Draw how many tokens are of which kind."""
    console.print(f"\n{title}", style="bold")
    most = max(counts.values(), default=1)
    width = max((len(str(kind)) for kind in counts), default=0)
    for kind, count in counts.items():
        console.print(f"{kind!s:>{max(width, 8)}}  {count:>7,}  {'█' * round(_BAR * count / most)}", markup=False)


def _show_curve(console: Any, curve: dict[int, int]) -> None:
    """Draw how often the pairs occurred, on a scale where each step is a power of ten."""
    from math import log10

    console.print("\nmerge curve: how often the pair of each merge occurred", style="bold")
    most = max(log10(1 + count) for count in curve.values())
    for rank, count in curve.items():
        console.print(f"{rank:>8,}  {count:>13,}  {'█' * round(_BAR * log10(1 + count) / (most or 1))}", markup=False)


def _show_sample(tokenizer: "Tokenizer", texts: list[str], measured: "SampleReport") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print("\ntext", style="bold")
    console.print(
        f"{measured.bytes:,} bytes become {measured.tokens:,} tokens: "
        f"{measured.bytes_per_token:.3f} bytes a token, {measured.characters_per_token:.3f} characters a token\n"
        f"{measured.whole_pretokens:.1%} of the pretokens, with {measured.whole_bytes:.1%} of the bytes, are one token "
        f"each\n{measured.distinct_tokens:,} different tokens occur, {measured.vocab_used:.1%} of the vocabulary; "
        f"{tokenizer.vocab_size - measured.distinct_tokens:,} do not\n",
        markup=False,
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("script")
    for name in ("characters", "tokens", "tokens a character"):
        table.add_column(name, justify="right")
    for script in measured.scripts:
        table.add_row(
            script.script, f"{script.characters:,}", f"{script.tokens:,.0f}", f"{script.tokens_per_character:.3f}"
        )
    console.print(table, markup=False)
    console.print()
    ids = tokenizer.encode(texts[0][: 8 * _SHOWN_TOKENS])[:_SHOWN_TOKENS]
    show_tokens([tokenizer.token_bytes(token_id) for token_id in ids.tolist()])


def _show_compared(name: str, vocab_size: int, measured: "SampleReport", compared: "tuple[Compression, ...]") -> None:
    """Put the others beside this one; less than 100% of its tokens is better than it."""
    from rich.console import Console
    from rich.table import Table

    if not compared:
        return
    console = Console(highlight=False)
    console.print("\ncompression of this text", style="bold")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("tokenizer", overflow="fold")
    for title in ("vocabulary", "tokens", "bytes a token", "tokens to this one's"):
        table.add_column(title, justify="right")
    table.add_row(name, f"{vocab_size:,}", f"{measured.tokens:,}", f"{measured.bytes_per_token:.3f}", "100.0%")
    for other in compared:
        share = f"{other.tokens / measured.tokens:.1%}"
        table.add_row(other.name, f"{other.vocab_size:,}", f"{other.tokens:,}", f"{other.bytes_per_token:.3f}", share)
    console.print(table, markup=False)
