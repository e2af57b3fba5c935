"""`slm tokenizer import`: a tokenizer directory of a rank file."""

import json
from pathlib import Path
from typing import Annotated

import typer

from slm.cli.options import JsonOption


def import_(
    ranks: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Rank file of tiktoken, such as cl100k_base.tiktoken.", show_default=False),
    ],
    pattern: Annotated[
        str, typer.Option(metavar="NAME|REGEX", help="How text is split; the file does not say.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the tokenizer.", show_default=False)],
    special_token: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ID", help="A special token and its id. Can be repeated.", show_default=False),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Make a tokenizer directory of a rank file, with the ids of tiktoken.

    [bold]Example[/bold]: slm tokenizer import o200k_base.tiktoken --pattern o200k --out tok
    """
    from slm.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_tiktoken(ranks, pattern=pattern, special_tokens=_parse_special(special_token or []))
    tokenizer.save(out)
    if json_:
        made = {"out": str(out), "fingerprint": tokenizer.fingerprint, "vocab_size": tokenizer.vocab_size}
        typer.echo(json.dumps(made | {"next": f"slm tokenizer inspect {out}"}))
        return
    unused = len(tokenizer.unused_ids())
    gaps = f", {unused:,} ids without a token" if unused else ""
    typer.echo(f"{out}: {tokenizer.vocab_size - unused:,} tokens{gaps}\n\nnext: slm tokenizer inspect {out}")


def _parse_special(arguments: list[str]) -> dict[str, int]:
    from slm.errors import ConfigError

    special_tokens: dict[str, int] = {}
    for argument in arguments:
        # The name may have signs of its own, the id has digits alone.
        name, _, token_id = argument.rpartition("=")
        if not name or not (token_id.isascii() and token_id.isdigit()):
            raise ConfigError(f"`{argument}` is not a special token, `=` and its id, such as `<|endoftext|>=50256`")
        if name in special_tokens:
            raise ConfigError(f"the special token `{name}` is given twice")
        special_tokens[name] = int(token_id)
    return special_tokens
