"""The list of all configs, and the table of settings that the docs show."""

import json
import types
import typing
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from slm.config.base import Config
from slm.config.data import DataConfig
from slm.config.evals import EvalConfig
from slm.config.model import ModelConfig
from slm.config.problems import nested_config
from slm.config.run import RunConfig
from slm.config.serve import ServeConfig
from slm.config.tokenizer import CountConfig, TokenizerConfig
from slm.config.train import TrainConfig
from slm.config.yaml_writer import format_value

CONFIGS: dict[str, type[Config]] = {
    "run": RunConfig,
    "tokenizer": TokenizerConfig,
    "counts": CountConfig,
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "eval": EvalConfig,
    "serve": ServeConfig,
}
"""Every config that has a file or a part of one, by the name that `slm config schema` takes."""


def markdown_table(config_class: type[Config], prefix: str = "") -> str:
    """Write the settings of a config as a Markdown table: name, type, default, meaning; nested ones with their path."""
    rows = _rows(config_class, prefix)
    return "\n".join(["| setting | type | default | meaning |", "|---|---|---|---|", *rows])


def _rows(config_class: type[Config], prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in config_class.model_fields.items():
        nested = nested_config(config_class, name)
        if nested is not None and issubclass(nested, Config):
            rows.extend(_rows(nested, f"{prefix}{name}."))
            continue
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{prefix}{name}` | {_type_name(field.annotation)} | {_default(field)} | {meaning} |")
    return rows


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin is typing.Literal:
        return " \\| ".join(f"`{json.dumps(choice)}`" for choice in arguments)
    if isinstance(annotation, types.UnionType) or origin is typing.Union:
        return " \\| ".join(_type_name(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    name = str(annotation.__name__)
    return {"str": "text", "NoneType": "null", "Path": "path"}.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "derived"
    return "required" if field.default is PydanticUndefined else f"`{format_value(field.default)}`"
