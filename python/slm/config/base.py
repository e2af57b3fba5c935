"""What every config is: frozen, closed to unknown keys, documented by its own fields, read from and written as YAML."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError

from slm.config.overrides import apply_overrides
from slm.config.problems import Places, describe, show
from slm.config.yaml_reader import MAX_BYTES, YamlDocument, read_yaml, too_large
from slm.config.yaml_writer import write_yaml
from slm.errors import ConfigError
from slm.sizes import parse_size


def _read_size(size: object) -> object:
    if not isinstance(size, str):
        return size
    try:
        return parse_size(size, "it")
    except ConfigError:
        raise ValueError(f"{size!r} is not a size: give a number of bytes or text such as `256MiB` or `1GiB`") from None


FilePath = Annotated[Path, Strict(False)]
"""A path, given as text; a relative one starts from the working directory, not from the config file."""

TextTuple = Annotated[tuple[str, ...], Strict(False)]
"""A list of text in YAML, a tuple in Python because configs are frozen."""

PathTuple = Annotated[tuple[FilePath, ...], Strict(False)]
"""A list of paths in YAML."""

NumThreads = Annotated[int, Field(ge=1, le=1024)]
"""How many threads a stage may use."""


Size = Annotated[int, Field(ge=0), BeforeValidator(_read_size)]
"""Bytes, in YAML as a number or as text such as `256MiB` or `1GiB`."""


class Config(BaseModel):
    """Base of all configs.

    Values are never coerced: `"4096"` is not a number, `1` is not a boolean, and no number is infinite or NaN. The text
    under a field is its documentation, in `slm config schema` and in the YAML that `to_yaml` writes.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @classmethod
    def load(cls, path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Self:
        """Read a YAML file.

        Args:
            path: The file.
            overrides: Settings that take the place of the file's, each as `train.max_steps=100`.

        Raises:
            ConfigError: The file is not strict YAML, or a setting is unknown, missing or out of range.
            OSError: The file cannot be read; `FileNotFoundError` if there is none.
        """
        document = read_config_file(path)
        source = f"`{os.fspath(path)}`"
        values = {} if document.value is None else document.value
        if not isinstance(values, dict):
            raise ConfigError(f"{source}: a config must be a mapping of settings, not {show(values)}")
        values, origins = apply_overrides(values, overrides)
        return cls._build(values, Places(source, document.lines, origins))

    @classmethod
    def from_values(
        cls, values: Mapping[str, Any], overrides: Sequence[str] = (), *, source: str | None = None
    ) -> Self:
        """Check plain values, such as those of a JSON file.

        Args:
            values: Settings by name, nested ones as mappings.
            overrides: Settings that take the place of others, each as `train.max_steps=100`.
            source: What to call the values in errors; the name of the class if None.

        Raises:
            ConfigError: A setting is unknown, missing or out of range.
        """
        merged, origins = apply_overrides(dict(values), overrides)
        return cls._build(merged, Places(source or cls.__name__, {}, origins))

    @classmethod
    def _build(cls, values: dict[str, Any], places: Places) -> Self:
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise describe(error, cls, places) from None

    def to_yaml(self, *, comments: bool = True) -> str:
        """Write every setting, the derived ones resolved; `load` reads it back equal.

        Args:
            comments: Whether each setting stands under its documentation.
        """
        return write_yaml(self, comments=comments)


def read_config_file(path: str | os.PathLike[str]) -> YamlDocument:
    """Read a file as strict YAML, whatever config it is.

    Raises:
        ConfigError: The file is too large, not UTF-8 or not strict YAML.
        OSError: The file cannot be read.
    """
    source = f"`{os.fspath(path)}`"
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise too_large(source)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{source}, line {line}: byte {error.start} of the file is not UTF-8") from None
    return read_yaml(text, source)
