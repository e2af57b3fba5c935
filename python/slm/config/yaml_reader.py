"""The YAML that configs are written in: mappings, lists and scalars, each of which means one thing.

PyYAML's event stream is read and nothing of its constructors, so no tag can build an object. Aliases, anchors, tags,
duplicate keys and several documents are refused, as are files over 1 MiB or deeper than 32 levels, which bounds the
work that a hostile file can cause. Numbers are read as people write them (`6e-4`, `1_000_000`, `1e6`); `yes`, `no`,
`on` and `off` are text, as in YAML 1.2, and never silently a boolean.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from slm.errors import ConfigError

MAX_BYTES = 1 << 20
"""Largest config file that is read."""

MAX_DEPTH = 32
"""Most levels of mappings and lists inside each other."""

KeyPath = tuple[str | int, ...]
"""Where a value is: keys of mappings and positions in lists, outermost first."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F_]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9][0-9_]*|(0|[1-9][0-9_]*)(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_NUMBER = 64


@dataclass(frozen=True)
class YamlDocument:
    """What a YAML text says, and the line that says it."""

    value: Any
    """Mappings as dict, lists as list, scalars as str, int, float, bool or None."""

    lines: dict[KeyPath, int] = field(default_factory=dict[KeyPath, int])
    """Line, counted from 1, of every key and list item."""


def read_yaml(text: str, source: str) -> YamlDocument:
    """Read one strict YAML document.

    Args:
        text: The whole document.
        source: What to call it in errors, such as the path of the file in backticks.

    Returns:
        The values, None for an empty text, and their lines.

    Raises:
        ConfigError: The text is not YAML, is too large or too deep, or uses what is refused here; names the line.
    """
    if len(text) > MAX_BYTES:
        raise too_large(source)
    return _Reader(text, source).document()


def too_large(source: str) -> ConfigError:
    """The error for a document over `MAX_BYTES`."""
    return ConfigError(
        f"{source} is larger than {MAX_BYTES:,} bytes, the most that a config may have\n\n"
        "hint: a config holds settings; give text and data by their paths"
    )


def read_scalar(text: str) -> str | int | float | bool | None:
    """Give an unquoted scalar the type that it has in a config.

    Example:
        >>> [read_scalar(text) for text in ("6e-4", "1_000_000", "1e6", "true", "off", "~")]
        [0.0006, 1000000, 1000000, True, 'off', None]
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _HEXADECIMAL.fullmatch(text) and text.strip("0x_"):
        return int(text.replace("_", ""), 16)
    if _FLOAT.fullmatch(text):
        number = float(text.replace("_", ""))
        # `1e6` steps are a count. Up to 2**53 every whole float is exact, so nothing is rounded here.
        return int(number) if "." not in text and abs(number) <= 2**53 and number.is_integer() else number
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


class _Reader:
    """Build values from events by recursion, which `MAX_DEPTH` bounds."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._events = self._parse(text)
        self._lines: dict[KeyPath, int] = {}

    def document(self) -> YamlDocument:
        next(self._events)  # the start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return YamlDocument(None)
        value = self._value(next(self._events), ())
        next(self._events)  # the end of the document
        extra = next(self._events)
        if not isinstance(extra, yaml.StreamEndEvent):
            raise self._error("starts a second document; a config is one document", extra)
        return YamlDocument(value, self._lines)

    def _parse(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            character = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
            raise ConfigError(f"{self._source}, line {line}: character {character} is not allowed in YAML") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f", line {mark.line + 1}" if mark else ""
            told = ", ".join(part for part in (error.context, error.problem) if part)
            hint = "\n\nhint: indent with spaces" if "'\\t'" in told else ""
            raise ConfigError(f"{self._source}{place}: not valid YAML: {told}{hint}") from None

    def _value(self, event: Any, path: KeyPath) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise self._error(f"alias `*{event.anchor}` is refused; write the value out", event)
        if event.anchor is not None:
            raise self._error(f"anchor `&{event.anchor}` is refused; write the value out where it is used", event)
        # A lone `!` marks text and names no type; PyYAML reports it as a tag of its own.
        if event.tag is not None:
            raise self._error(f"tag `{event.tag}` is refused; a config has plain values only", event)
        if isinstance(event, yaml.ScalarEvent):
            return read_scalar(event.value) if event.implicit[0] else event.value
        if len(path) >= MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} levels of mappings and lists", event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._mapping(path)

    def _list(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        for event in self._until(yaml.SequenceEndEvent):
            here = (*path, len(items))
            self._lines[here] = self._line(event)
            items.append(self._value(event, here))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for event in self._until(yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
                raise self._error("a key must be a plain name", event)
            key = str(event.value)
            here = (*path, key)
            if key in values:
                raise self._error(f"key `{key}` is already given in line {self._lines[here]}", event)
            self._lines[here] = self._line(event)
            values[key] = self._value(next(self._events), here)
        return values

    def _until(self, end: type[yaml.Event]) -> Iterator[Any]:
        """The events up to the end of a list or mapping, those inside nested ones left to whoever reads these."""
        while not isinstance(event := next(self._events), end):
            yield event

    def _line(self, event: Any) -> int:
        return event.start_mark.line + 1

    def _error(self, problem: str, event: Any) -> ConfigError:
        return ConfigError(f"{self._source}, line {self._line(event)}: {problem}")
