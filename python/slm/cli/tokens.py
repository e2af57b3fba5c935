"""Show tokens: each in a colour of its own where there are colours, else with bars between them."""

from collections.abc import Iterable

from rich.text import Text

# Six backgrounds that black text can be read on, in an order where neighbours differ.
_COLOURS = ("#aee3c0", "#f7d6a8", "#b9cff4", "#f4b9c6", "#d9c7f2", "#e7e3a1")


def tokens_as_text(tokens: Iterable[bytes], *, in_colour: bool) -> Text:
    """Put tokens side by side with their borders visible.

    Line feeds stay and are marked by `⏎`; bytes that are no whole character are written as `<e6>`.

    Args:
        tokens: The bytes of each token.
        in_colour: Whether borders show as a change of background; bars otherwise.
    """
    text = Text(overflow="fold", no_wrap=False)
    for position, token in enumerate(tokens):
        if position and not in_colour:
            text.append("|")
        style = f"black on {_COLOURS[position % len(_COLOURS)]}" if in_colour else ""
        text.append(readable(token).replace("\n", "⏎\n"), style=style)
    return text


def readable(token: bytes) -> str:
    r"""Write a token so that each byte of it can be told.

    Example:
        >>> readable(b" caf\xc3\xa9"), readable(b"\xe6\x97"), readable(b"\t")
        (' café', '<e6><97>', '\\t')
    """
    text = token.decode(errors="surrogateescape")
    return "".join(map(_readable, text))


def _readable(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"<{ord(character) - 0xDC00:02x}>"
    if character == "\n" or character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
