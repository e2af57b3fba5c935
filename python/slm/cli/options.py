"""Options that many commands share, spelled the same everywhere, and the one way to load a config.

`--verbose` is not here: `slm.cli.main` gives it to every command.

Example::

    @app.command()
    @takes_config
    def build(config: ConfigArgument, set_: SetOption = None, json_: JsonOption = False) -> None:
        settings = load_config(DataConfig, config, set_)
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from slm.cli.progress import ProgressStyle
from slm.config.base import Config
from slm.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=Config)

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file with the settings.", show_default=False)
]
"""The config as the first argument: `slm train CONFIG`."""

_OptionalConfigArgument = Annotated[
    Path | None, typer.Argument(metavar="CONFIG", help="YAML file with the settings.", show_default=False)
]
_ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", hidden=True)]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Put a value over one of the config, such as [bold]train.max_steps=100[/bold]. Can be repeated.",
        show_default=False,
    ),
]
"""Overrides; the parameter is called `set_` and has the default None."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
"""Whether the result goes to stdout as one JSON object; the parameter is called `json_` and has the default False."""

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]
"""Whether to print the plan alone; the default is False."""


def _note_progress(ctx: typer.Context, value: ProgressStyle) -> ProgressStyle:
    # Errors and warnings are told by `slm.cli.main`, which must know whether a program reads them.
    if hasattr(ctx.obj, "progress"):
        ctx.obj.progress = value
    return value


ProgressOption = Annotated[
    ProgressStyle,
    typer.Option(
        "--progress",
        help="How progress is told on stderr: [bold]bar[/bold], [bold]plain[/bold] lines, one [bold]json[/bold] "
        "object a line, or [bold]none[/bold]; [bold]auto[/bold] is a bar for a terminal and lines elsewhere.",
        callback=_note_progress,
    ),
]
"""How progress is shown; the parameter is called `progress` and has the default `ProgressStyle.AUTO`."""


def takes_config(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command be given its parameter `config` as the first argument, or as `--config FILE`.

    Help and docs show the argument alone.
    """
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "config"
    ]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in (("config", _OptionalConfigArgument), ("config_option", _ConfigOption))
    ]

    @functools.wraps(command)
    def with_config(*, config: Path | None, config_option: Path | None, **given: Any) -> None:
        paths = [path for path in (config, config_option) if path is not None]
        if not paths:
            raise ConfigError("no config is given\n\nhint: name a YAML file behind the command; `configs/` holds some")
        if len(paths) > 1:
            raise ConfigError(f"a command takes one config, not both `{config}` and `--config {config_option}`")
        command(config=paths[0], **given)

    with_config.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    with_config.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_config


def load_config(config_class: type[ConfigT], path: Path, overrides: list[str] | None = None) -> ConfigT:
    """Read the config of a command.

    Args:
        config_class: What the command takes.
        path: The YAML file.
        overrides: What `SetOption` gave.

    Raises:
        ConfigError: The file or an override is wrong.
        OSError: The file cannot be read.
    """
    return config_class.load(path, overrides or ())
