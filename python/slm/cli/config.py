"""`slm config`: what a config means before anything runs."""

import typer

from slm.cli.nouns import noun_with_commands
from slm.cli.options import ConfigArgument, JsonOption, SetOption, load_config

app = noun_with_commands("Show what a config means and what a run of it takes; nothing is read but the file.")


@app.command()
def show(config: ConfigArgument, set_: SetOption = None, json_: JsonOption = False) -> None:
    """Print a run with every setting resolved, its size, its cost and the memory it needs."""
    from slm.config import RunConfig

    run = load_config(RunConfig, config, set_)
    typer.echo(run.to_yaml())
