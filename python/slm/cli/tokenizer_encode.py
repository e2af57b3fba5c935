"""`slm tokenizer encode` and `decode`: text to ids and back."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from slm.cli.options import JsonOption

TokenizerArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Tokenizer directory, or a tokenizer.json.", show_default=False)
]
"""The tokenizer as the first argument."""


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
        show_tokens([loaded.token_bytes(token_id) for token_id in ids])
    else:
        typer.echo(" ".join(map(str, ids)))


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


def show_tokens(tokens: list[bytes]) -> None:
    """Print tokens with their borders visible."""
    from rich.console import Console

    from slm.cli.tokens import tokens_as_text

    console = Console(highlight=False)
    console.print(tokens_as_text(tokens, in_colour=console.color_system is not None), soft_wrap=not console.is_terminal)


def _read_stdin_text() -> str:
    from slm.errors import DataError

    content = sys.stdin.buffer.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"stdin is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}\n\n"
            "hint: convert it, for example with `iconv -f latin1 -t utf-8`"
        ) from None


def _parse_ids(words: list[str]) -> list[int]:
    from slm.errors import ConfigError

    for word in words:
        if not (word.isascii() and word.isdigit()):
            raise ConfigError(f"`{word}` is not a token id\n\nhint: give numbers with spaces between them")
    return [int(word) for word in words]
