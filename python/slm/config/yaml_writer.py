"""Writes a config as YAML for people: every setting, with its documentation as the comment above it."""

import math
import textwrap
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from slm.config.yaml_reader import read_scalar

_LINE_LENGTH = 110
_UNDERSCORES_FROM = 10_000
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
# Other readers of YAML take these for booleans; quoted they are text to all.
_QUOTED_WORDS = frozenset({"y", "n", "yes", "no", "on", "off"})


def write_yaml(config: BaseModel, *, comments: bool = True) -> str:
    """Give the text that `slm.config.yaml_reader` reads back to the same values.

    Args:
        config: What to write.
        comments: Whether each setting stands under its documentation.
    """
    return "\n".join(_lines(config, "", comments)) + "\n"


def _lines(config: BaseModel, indent: str, comments: bool) -> list[str]:
    lines: list[str] = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if comments and field.description:
            lines.extend([""] if lines else [])
            width = max(40, _LINE_LENGTH - len(indent) - 2)
            for paragraph in field.description.strip().split("\n\n"):
                lines.extend(f"{indent}# {line}" for line in textwrap.wrap(" ".join(paragraph.split()), width))
        if isinstance(value, BaseModel):
            lines.append(f"{indent}{name}:")
            lines.extend(_lines(value, indent + "  ", comments))
        else:
            lines.append(f"{indent}{name}: {format_value(value)}")
    return lines


def format_value(value: Any) -> str:
    """Write a scalar or a list of scalars so that every YAML reader gives it the same type.

    Example:
        >>> [format_value(value) for value in (0.0006, 1e-8, 1_000_000, "gpt2", "off", None, True, ["a b"])]
        ['0.0006', '1.0e-08', '1_000_000', 'gpt2', '"off"', 'null', 'true', '["a b"]']
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= _UNDERSCORES_FROM else str(value)
    if isinstance(value, float):
        return _format_float(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(format_value(item) for item in value) + "]"
    return _format_text(str(value) if isinstance(value, PurePath) else value)


def _format_float(value: float) -> str:
    assert math.isfinite(value), "configs hold finite numbers"
    text = repr(value)
    mantissa, exponent_mark, exponent = text.partition("e")
    if exponent_mark and "." not in mantissa:
        text = f"{mantissa}.0e{exponent}"  # PyYAML reads `1e-08` as text
    return text


def _format_text(text: str) -> str:
    is_plain = bool(text) and text[0] not in "-." and set(text) <= _PLAIN
    if is_plain and isinstance(read_scalar(text), str) and text.lower() not in _QUOTED_WORDS and not text[0].isdigit():
        return text
    return '"' + "".join(_escape(character) for character in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if character.isprintable() and not 0xD800 <= code < 0xE000 and code not in (0xFEFF, 0xFFFE, 0xFFFF):
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
