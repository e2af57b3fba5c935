"""Writing systems: which one a character belongs to, and a token."""

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

SCRIPTS = (
    "Latin",
    "Han",
    "Cyrillic",
    "Arabic",
    "Devanagari",
    "Hangul",
    "Hiragana",
    "Katakana",
    "Greek",
    "Hebrew",
    "Thai",
    "other letters",
    "digits",
    "punctuation and symbols",
    "spaces",
    "control",
)
"""Every kind of character that is told apart."""

MIXED = "several scripts"
"""What a token with letters of more than one script is."""

PARTIAL = "parts of characters"
"""What a token is that is not whole UTF-8."""

_BY_NAME = {
    "LATIN": "Latin",
    "FULLWIDTH": "Latin",
    "CJK": "Han",
    "KANGXI": "Han",
    "CYRILLIC": "Cyrillic",
    "ARABIC": "Arabic",
    "DEVANAGARI": "Devanagari",
    "HANGUL": "Hangul",
    "HIRAGANA": "Hiragana",
    "KATAKANA": "Katakana",
    "KATAKANA-HIRAGANA": "Katakana",
    "GREEK": "Greek",
    "HEBREW": "Hebrew",
    "THAI": "Thai",
}
_LETTERS = frozenset(SCRIPTS[: SCRIPTS.index("digits")])
_NUMBERS = {script: number for number, script in enumerate(SCRIPTS)}


@cache
def script_of(character: str) -> str:
    """The script of a letter, or what else a character is; one of `SCRIPTS`.

    Goes by the first word of a letter's Unicode name, which is its script.

    Example:
        >>> [script_of(character) for character in "aя漢7!"]
        ['Latin', 'Cyrillic', 'Han', 'digits', 'punctuation and symbols']
    """
    category = unicodedata.category(character)
    if category[0] in "LM":
        return _BY_NAME.get(unicodedata.name(character, "").partition(" ")[0], "other letters")
    if category[0] == "N":
        return "digits"
    if category[0] == "Z" or character in "\t\n\r\v\f":
        return "spaces"
    return "control" if category[0] == "C" else "punctuation and symbols"


def script_of_token(token: bytes) -> str:
    """The script of a token's letters; without letters, what its first character besides spaces is.

    Returns:
        One of `SCRIPTS`, `MIXED` or `PARTIAL`.

    Example:
        >>> [script_of_token(token.encode()) for token in (" the", "7th", "...", "漢a")]
        ['Latin', 'Latin', 'punctuation and symbols', 'several scripts']
    """
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return PARTIAL
    kinds = [script_of(character) for character in text]
    scripts = {kind for kind in kinds if kind in _LETTERS}
    if len(scripts) > 1:
        return MIXED
    if scripts:
        return scripts.pop()
    return next((kind for kind in kinds if kind != "spaces"), "spaces")


def scripts_of_text(text: str) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """The script of each character, and its bytes in UTF-8.

    A space belongs to what comes after it, as it does in tokens.

    Returns:
        Places in `SCRIPTS`, (characters,), uint8; and lengths in bytes, (characters,).
    """
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    table = np.zeros(0x110000, np.uint8)
    for point in np.flatnonzero(np.bincount(points, minlength=1)).tolist():
        table[point] = _NUMBERS[script_of(chr(point))]
    scripts = table[points]
    spaces = np.flatnonzero(points[:-1] == ord(" "))
    scripts[spaces] = scripts[spaces + 1]
    lengths = 1 + (points >= 0x80).astype(np.intp) + (points >= 0x800) + (points >= 0x10000)
    return scripts, lengths
