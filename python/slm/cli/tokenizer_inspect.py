"""`slm tokenizer inspect`: what a tokenizer is made of, and what it does to a text."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slm.cli.options import JsonOption
from slm.cli.tokenizer_encode import TokenizerArgument, decode_utf8, show_tokens

if TYPE_CHECKING:
    from slm.config.tokenizer import TokenizerConfig
    from slm.tokenizer.inspect import SampleReport, TokenizerReport
    from slm.tokenizer.tokenizer import Tokenizer

_SAMPLE_BYTES = 8 << 20
_SHOWN_TOKENS = 200


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


def pattern_in_words(of: "TokenizerReport | TokenizerConfig") -> str:
    """The pattern with its options, in one line."""
    options = [
        "" if of.digits is None else f"digits {of.digits}",
        "prefix space" if of.prefix_space else "",
        of.normalization or "",
    ]
    return ", ".join([of.pattern, *filter(None, options)])


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
    show_tokens([tokenizer.token_bytes(token_id) for token_id in ids.tolist()])


def _read_sample(path: Path) -> str:
    """The beginning of a text file, cut between characters."""
    with path.open("rb") as file:
        content = file.read(_SAMPLE_BYTES)
    # The cut may have gone through the last character; anything else that is not UTF-8 is an error.
    is_cut = len(content) == _SAMPLE_BYTES
    return decode_utf8(content, f"`{path}`", is_cut=is_cut)
