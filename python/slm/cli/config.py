"""`slm config`: what a config means before anything runs."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slm.cli.nouns import noun_with_commands
from slm.cli.options import ConfigArgument, JsonOption, SetOption, load_config
from slm.cli.words import short_number

if TYPE_CHECKING:
    from slm.config import Config, RunConfig

app = noun_with_commands("Show what a config means and what a run of it takes. Reads the config alone, and no torch.")


@app.command()
def show(config: ConfigArgument, set_: SetOption = None, json_: JsonOption = False) -> None:
    """Print a config with every setting resolved; for a run also its size, its cost and the memory it needs.

    [bold]Example[/bold]: slm config show configs/micro.yaml --set train.micro_batch_rows=8
    """
    from slm.config import RunConfig

    settings = load_config(_kind_of(config), config, set_)
    figures = run_figures(settings) if isinstance(settings, RunConfig) else None
    if json_:
        typer.echo(json.dumps({"config": settings.model_dump(mode="json"), **(figures or {})}, indent=2))
        return
    typer.echo(settings.to_yaml(comments=False), nl=False)
    if figures is not None:
        _print_figures(figures)


@app.command()
def schema(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="run, tokenizer, data, model, train, eval or serve.")
    ] = "run",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of settings of the docs.")] = False,
) -> None:
    """Print the JSON Schema of a config, which editors use to complete and check it."""
    from slm.config.problems import nearest_name
    from slm.config.reference import CONFIGS, markdown_table
    from slm.errors import ConfigError

    if name not in CONFIGS:
        hint = nearest_name(name, CONFIGS)
        raise ConfigError(
            f"there is no config `{name}`; there are {', '.join(f'`{known}`' for known in CONFIGS)}"
            + (f"\n\nhint: did you mean `{hint}`?" if hint else "")
        )
    config_class = CONFIGS[name]
    typer.echo(markdown_table(config_class) if markdown else json.dumps(config_class.model_json_schema(), indent=2))


def run_figures(run: "RunConfig") -> dict[str, Any]:
    """Everything that follows from a run before it starts: counts, floating point operations, bytes."""
    from slm.config import estimate_memory

    flops_per_token = run.model.flops_per_token(run.train.row_tokens)
    return {
        "architecture": run.model.architecture,
        "parameters": run.model.num_parameters,
        "rows_per_step": run.train.rows_per_step,
        "tokens_per_step": run.train.tokens_per_step,
        "total_tokens": run.train.total_tokens,
        "flops_per_token": flops_per_token,
        "total_flops": flops_per_token * run.train.total_tokens,
        "memory_bytes": dataclasses.asdict(estimate_memory(run)),
    }


def _kind_of(path: Path) -> "type[Config]":
    """The config whose settings the top of a file looks like most; a run if nothing tells."""
    from slm.config.base import read_config_file
    from slm.config.reference import CONFIGS

    values = read_config_file(path).value
    keys = set(values) if isinstance(values, dict) else set[str]()
    # `max` keeps the first of equals, and `run` comes first.
    return max(CONFIGS.values(), key=lambda config_class: len(keys & set(config_class.model_fields)))


def _print_figures(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    tokens_per_parameter = figures["total_tokens"] / figures["parameters"]
    table.add_row("architecture", figures["architecture"], "the class of transformers that loads it")
    table.add_row("parameters", f"{figures['parameters']:,}", short_number(figures["parameters"]))
    table.add_row("tokens per step", f"{figures['tokens_per_step']:,}", f"{figures['rows_per_step']:,} rows")
    table.add_row("tokens in all", f"{figures['total_tokens']:,}", f"{tokens_per_parameter:.1f} per parameter")
    table.add_row("FLOP per token", f"{figures['flops_per_token']:.3g}", "forward and backward")
    table.add_row("FLOP in all", f"{figures['total_flops']:.3g}", "")
    table.add_row("")
    notes = {
        "parameters": "float32",
        "gradients": "float32",
        "optimizer": "two moments of AdamW",
        "ema": "moving average of the weights",
        "activations": "of one micro batch; halve micro_batch_rows to halve it",
        "peak": "at once, beside about 300 MiB of Python and PyTorch",
    }
    for name, num_bytes in figures["memory_bytes"].items():
        if num_bytes == 0:
            continue
        table.add_row(f"memory: {name}", f"{num_bytes / 2**20:,.1f} MiB", notes[name])
    console = Console(highlight=False)
    console.print()
    console.print(table)
