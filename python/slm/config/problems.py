"""Turns what Pydantic finds wrong with a config into sentences with the place, the value and the remedy."""

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from slm.config.yaml_reader import KeyPath
from slm.errors import ConfigError

_MOST_TOLD = 8
_NAME = re.compile(r"`([a-z0-9_.]+)`")
_YAML_1_1_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True)
class Places:
    """Where the values of a config come from."""

    source: str
    """What to call the config: the path of its file in backticks, or the name of its class."""

    lines: Mapping[KeyPath, int] = field(default_factory=dict[KeyPath, int])
    """Lines of the keys of a file."""

    overrides: Mapping[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    """The override that set a path, for those that one did."""

    def of(self, path: KeyPath) -> str:
        """Name the override, or the file and the nearest line, that a value is from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return f"`--set {self.overrides[path[:length]]}`"
            if path[:length] in self.lines:
                return f"{self.source}, line {self.lines[path[:length]]}"
        # A mapping that is nowhere but in the path of an override, as `modle` in `--set modle.vocab_size=1`.
        inside = [override for below, override in self.overrides.items() if path and below[: len(path)] == path]
        return f"`--set {inside[0]}`" if inside else self.source


def describe(error: ValidationError, config_class: type[BaseModel], places: Places) -> ConfigError:
    """Make one `ConfigError` of all that is wrong.

    Args:
        error: What Pydantic raised for the values of the config.
        config_class: The class that was being filled.
        places: Where its values come from.
    """
    told: list[str] = []
    hints: list[str] = []
    for problem in error.errors(include_url=False):
        if problem["type"] == "default_factory_not_called":
            continue  # A derived setting, for want of what it is derived from, which is told by itself.
        sentence, hint = _sentence(typing.cast("Mapping[str, Any]", problem), config_class, places)
        told.append(sentence)
        if hint and hint not in hints:
            hints.append(hint)
    if len(told) > _MOST_TOLD:
        told[_MOST_TOLD:] = [f"and {len(told) - _MOST_TOLD} more"]
    message = told[0] if len(told) == 1 else f"{places.source} has several mistakes:\n  " + "\n  ".join(told)
    return ConfigError(message + (f"\n\nhint: {'; '.join(hints[:3])}" if hints else ""))


def _sentence(problem: Mapping[str, Any], config_class: type[BaseModel], places: Places) -> tuple[str, str | None]:
    """The sentence for one mistake, and the hint that mends it if there is one."""
    path: KeyPath = tuple(problem["loc"])
    name = f"`{dotted(path)}`"
    place = places.of(path)
    value = problem["input"]
    kind: str = problem["type"]
    if kind == "extra_forbidden":
        sentence = f"{place}: unknown setting {name}"
        nearest = suggest(path, config_class)
        if nearest is not None:
            return sentence, f"did you mean `{nearest}`?"
        parent = config_class_at(path[:-1], config_class)
        known = ", ".join(f"`{key}`" for key in parent.model_fields) if parent is not None else ""
        return sentence, f"known here: {known}" if known else None
    if kind == "missing":
        parent = config_class_at(path[:-1], config_class)
        about = (parent.model_fields[str(path[-1])].description if parent and path else None) or ""
        meaning = " ".join(about.split()).split(". ")[0].rstrip(".")
        return f"{place}: {name} is required and not given" + (f" ({meaning})" if meaning else ""), None
    if kind == "value_error":
        told = str(problem["ctx"]["error"])
        return f"{_place_of_named(told, path, places) or place}: {_prefix(path)}{told}", None
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{place}: {name if path else 'a config'} must be a mapping of settings, not {show(value)}", None
    sentence = f"{place}: {name} is {show(value)}, {_allowed(problem)}"
    if kind == "bool_type" and str(value).lower() in _YAML_1_1_BOOLEANS:
        return sentence, f"`{value}` is text here; write `true` or `false`"
    if isinstance(value, str) and kind in ("int_type", "float_type"):
        return sentence, "write numbers without quotes, units or commas, such as `1_000_000` or `6.0e-4`"
    if kind == "string_type" and not isinstance(value, dict | list):
        return sentence, f'put it in quotes to make it text: "{value}"'
    return sentence, None


def _place_of_named(told: str, path: KeyPath, places: Places) -> str | None:
    """Where the settings come from that a sentence about several names in backticks: an override before a line."""
    named: list[KeyPath] = [(*path, *name.split(".")) for name in _NAME.findall(told)]
    for origins in (places.overrides, places.lines):
        for candidate in named:
            if candidate in origins:
                return places.of(candidate)
    return None


def _prefix(path: KeyPath) -> str:
    return f"in `{dotted(path)}`: " if path else ""


def _allowed(problem: Mapping[str, Any]) -> str:
    """What Pydantic says is allowed, as the second half of a sentence."""
    if problem["type"] == "string_pattern_mismatch":
        return f"must match `{problem['ctx']['pattern']}`"
    message: str = problem["msg"]
    for start in ("Input should be ", "Value should be ", "Input is "):
        if message.startswith(start):
            rest = message.removeprefix(start)
            return f"which is {rest}" if start == "Input is " else f"must be {rest}"
    return message[:1].lower() + message[1:]


def dotted(path: KeyPath) -> str:
    """Write a path as overrides do: `train.max_steps`, and `paths[0]` for an item of a list."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def show(value: Any) -> str:
    """Show a value as it would stand in YAML, cut to a length that fits in a sentence."""
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return f"`{text if len(text) <= 80 else text[:77] + '...'}`"


def suggest(path: KeyPath, config_class: type[BaseModel]) -> str | None:
    """Find the setting that an unknown one was meant to be.

    A similar name beside it comes first, then the same or a similar name anywhere in the config.

    Returns:
        The full path of the nearest setting, or None if nothing is near.
    """
    key = str(path[-1])
    parent = config_class_at(path[:-1], config_class)
    if parent is not None:
        beside = nearest_name(key, parent.model_fields)
        if beside is not None:
            return dotted((*path[:-1], beside))
    everywhere = all_paths(config_class)
    by_name: dict[str, KeyPath] = {}
    for known in everywhere:
        by_name.setdefault(str(known[-1]), known)
    # Farther away a likeness must be closer: a wrong hint is worse than none.
    near = nearest_name(key, by_name, likeness=0.85)
    return dotted(by_name[near]) if near is not None else None


def nearest_name(name: str, known: Iterable[str], *, likeness: float = 0.7) -> str | None:
    """The known name that a misspelled one was meant to be, or None if none is near.

    Args:
        name: What was written.
        known: What could have been meant.
        likeness: Least share of characters in common, 1 for equal names.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return near[0] if near else None


def all_paths(config_class: type[BaseModel], prefix: KeyPath = ()) -> list[KeyPath]:
    """List every setting of a config, those of nested configs included, in the order of definition."""
    paths: list[KeyPath] = []
    for name in config_class.model_fields:
        paths.append((*prefix, name))
        nested = nested_config(config_class, name)
        if nested is not None:
            paths.extend(all_paths(nested, (*prefix, name)))
    return paths


def config_class_at(path: Sequence[str | int], config_class: type[BaseModel]) -> type[BaseModel] | None:
    """The class of the nested config at a path, or None if there is none."""
    here: type[BaseModel] | None = config_class
    for key in path:
        here = nested_config(here, str(key)) if here is not None else None
    return here


def nested_config(config_class: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The class of a field that is a config itself, else None."""
    field_info = config_class.model_fields.get(name)
    annotation: Any = field_info.annotation if field_info is not None else None
    candidates = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
