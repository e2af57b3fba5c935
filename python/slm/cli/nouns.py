"""What the command line offers: the nouns, and how a noun's file makes its commands."""

from dataclasses import dataclass

import typer


@dataclass(frozen=True)
class Noun:
    """One word after `slm`, known by name until somebody uses it."""

    module: str
    """The file that has its commands; imported when the noun is used, so that help stays fast."""

    app: str
    """Name of the `typer.Typer` in that file."""

    summary: str
    """Its line in `slm --help`."""

    panel: str
    """The part of `slm --help` that it stands in."""


NOUNS = {
    "quickstart": Noun("slm.cli.quickstart", "app", "The whole road on this machine in minutes.", "Start here"),
    "tokenizer": Noun("slm.cli.tokenizer", "app", "Train a tokenizer, look inside it, encode and decode.", "Build"),
    "data": Noun("slm.cli.data", "app", "Turn text into token shards, inspect, verify, exchange them.", "Build"),
    "train": Noun("slm.cli.train", "app", "Train a model, or go on where a run was stopped.", "Build"),
    "eval": Noun("slm.cli.eval", "app", "Measure perplexity and bits per byte.", "Use"),
    "generate": Noun("slm.cli.generate", "app", "Continue a prompt.", "Use"),
    "chat": Noun("slm.cli.chat", "app", "Talk with a model in the terminal.", "Use"),
    "serve": Noun("slm.cli.serve", "app", "Answer over HTTP, as OpenAI clients expect.", "Use"),
    "export": Noun("slm.cli.export", "app", "Write a model for other tools.", "Exchange"),
    "import": Noun("slm.cli.export", "import_app", "Read a model of other tools.", "Exchange"),
    "config": Noun("slm.cli.config", "app", "Show what a config means and costs.", "Exchange"),
}
"""Every noun, in the order of `slm --help`."""


def noun_with_commands(help_text: str) -> typer.Typer:
    """Make the app of a noun whose commands come after it, such as `slm data build`.

    Args:
        help_text: What `slm NOUN --help` says above the list of commands. Markup of rich is understood.
    """
    app = typer.Typer(help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
    # Without a callback Typer would make a lone command the noun itself.
    app.callback()(_nothing)
    return app


def noun_as_command() -> typer.Typer:
    """Make the app of a noun that is a command itself, such as `slm train`; give it exactly one command."""
    return typer.Typer(add_completion=False, rich_markup_mode="rich")


def _nothing() -> None:
    pass
