"""Entry point of `slm`: finds the command, and turns errors into one paragraph and an exit code.

Nouns are imported when they are used (`slm.cli.nouns` lists them), so help loads neither torch nor the server.
"""

import importlib
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from slm import __version__
from slm.cli.errors import missing_library, report, report_warning, tell, tell_json
from slm.cli.nouns import NOUNS
from slm.errors import EXIT_FAILED, EXIT_INTERRUPTED, SlmWarning

_HELP = """\
From raw text to a small language model that answers over HTTP.

[bold]Examples[/bold]
slm quickstart                                  the whole road, in minutes
slm tokenizer train configs/tokenizer/8k.yaml
slm data build configs/data/8k.yaml             text to shards of tokens
slm config show configs/micro.yaml              what a run will take
slm train configs/micro.yaml                    train, or go on training
slm chat runs/micro/model                       talk with it
slm serve runs/micro/model                      answer over HTTP
"""

_EPILOG = "Exit codes: 0 done, 1 what was read or checked is at fault, 2 bad usage or config, 130 interrupted."


@dataclass
class _Session:
    """What the options before and after a command say about the whole call."""

    verbose: bool = False
    progress: str = "auto"

    def is_read_by_programs(self) -> bool:
        """Whether every line on stderr is to be JSON."""
        return self.progress == "json"


class LazyGroup(TyperGroup):
    """The group of all nouns: each is a name and a summary until it is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, noun in NOUNS.items():
            self.commands[name] = TyperCommand(name, help=noun.summary, rich_help_panel=noun.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command that `args` begins with, and import it."""
        name, stub, rest = super().resolve_command(ctx, args)
        return name, stub and load_noun(str(name)), rest


def load_noun(name: str) -> Any:
    """Import the commands of a noun, and give each of them `--verbose`.

    Raises:
        SlmError: A library that the noun needs is not installed.
    """
    noun = NOUNS[name]
    try:
        command = get_command(getattr(importlib.import_module(noun.module), noun.app))
    except ModuleNotFoundError as error:
        raise missing_library(error, f"`slm {name}`") from error
    command.name = name
    _add_verbose(command)
    return command


def _note_verbose(ctx: typer.Context, value: bool) -> None:
    if value and isinstance(ctx.obj, _Session):
        ctx.obj.verbose = True


VerboseOption = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Show the traceback of an error.", callback=_note_verbose, expose_value=False),
]


def _add_verbose(command: Any) -> None:
    """Give `--verbose` to a command and to all below it; made by Typer, as the class of options is not public."""
    carrier = typer.Typer(add_completion=False)

    @carrier.command()
    def verbose(verbose: VerboseOption = False) -> None: ...

    taken = {name for parameter in command.params for name in parameter.opts}
    for option in get_command(carrier).params:
        # `-v` may be a command's own; the long form is always here.
        option.opts = [name for name in option.opts if name not in taken]
        if option.opts:
            command.params.append(option)
    for below in getattr(command, "commands", {}).values():
        _add_verbose(below)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"slm {__version__}")
        raise typer.Exit


def _build() -> Any:
    """Make the command `slm`."""
    app = typer.Typer(
        cls=LazyGroup,
        name="slm",
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )

    @app.callback()
    def slm(
        version: Annotated[
            bool,
            typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
        ] = False,
        verbose: VerboseOption = False,
    ) -> None: ...

    return get_command(app)


def main() -> NoReturn:
    """Run the command line of this process and exit.

    The exit code is 0 when done, 1 when what was read or checked is at fault, 2 when the command line or the config is,
    and 130 after Ctrl-C.
    """
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are told on stderr.

    Args:
        arguments: What follows `slm`.
    """
    session = _Session()
    with warnings.catch_warnings():
        warnings.showwarning = _teller_of_warnings(session)
        return _run(arguments, session)


def _run(arguments: list[str], session: _Session) -> int:
    try:
        code = _build().main(arguments, prog_name="slm", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return EXIT_FAILED
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except SystemExit as error:
        # Typer ends by itself when a pipe breaks; the output that is left must not break it again.
        _discard_output()
        return error.code if isinstance(error.code, int) else EXIT_FAILED
    except Exception as error:  # noqa: BLE001  the last place that can turn an error into a message and an exit code
        return report(error, verbose=session.verbose, as_json=session.is_read_by_programs())
    if code == EXIT_INTERRUPTED:
        if session.is_read_by_programs():
            tell_json({"event": "error", "message": "interrupted", "hint": None, "exit_code": code})
        else:
            tell("interrupted", style="bold yellow")
    return code if isinstance(code, int) else 0


def _teller_of_warnings(session: _Session) -> Any:
    """What `warnings` calls: ours are told as errors are, those of other libraries as Python does."""
    as_python_does = warnings.showwarning

    def tell_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, SlmWarning) or session.is_read_by_programs():
            report_warning(str(message), as_json=session.is_read_by_programs())
        else:
            as_python_does(message, category, *place, **more)

    return tell_warning


def _discard_output() -> None:
    """Let what is left in the buffer of stdout go nowhere, so that the interpreter does not complain at its end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
