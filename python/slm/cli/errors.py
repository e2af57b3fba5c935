"""How an error reaches the person at the terminal: one paragraph on stderr, a hint, an exit code."""

import json
import os
import sys
import traceback
from typing import Any, cast

import typer

from slm.errors import EXIT_FAILED, EXIT_USAGE, InternalError, SlmError

# Typer exports none of the bases of its usage errors, and moved them when it took click in; this holds for both.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[2])


def report(error: Exception, *, verbose: bool, as_json: bool = False) -> int:
    """Tell an error on stderr, and return the exit code it stands for.

    Args:
        error: What a command raised.
        verbose: Whether the traceback comes first.
        as_json: Whether stderr is read by a program, so that all is told in one JSON object without a traceback.
    """
    if verbose and not as_json:
        tell("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, _UsageError):
        return _report_usage(error)
    code = EXIT_FAILED
    if isinstance(error, SlmError):
        code, message = error.exit_code, str(error)
    elif isinstance(error, OSError):
        code = EXIT_USAGE if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError) else code
        message = _describe_os_error(error)
    elif isinstance(error, ModuleNotFoundError):
        message = str(missing_library(error, "this command"))
    elif isinstance(error, MemoryError):
        message = "out of memory" + (f": {error}" if str(error) else "")
    else:
        message = f"{type(error).__name__}: {error}\n\nhint: this is a bug in `slm`" + (
            "" if verbose else "; please report it with what `--verbose` shows"
        )
    told, _, hint = message.partition("\n\nhint: ")
    for cause in _causes(error):
        if cause not in told:
            told += f"\n  caused by: {cause}"
    if as_json:
        tell_json({"event": "error", "message": told, "hint": hint or None, "exit_code": code})
        return code
    tell(told, label="error", style="bold red")
    if hint:
        tell(f"\n{hint}", label="hint", style="bold cyan")
    return code


def report_warning(message: str, *, as_json: bool = False) -> None:
    """Tell a warning on stderr, with its hint if it has one.

    Args:
        message: What the library warned of.
        as_json: As in `report`.
    """
    told, _, hint = message.partition("\n\nhint: ")
    if as_json:
        tell_json({"event": "warning", "message": told, "hint": hint or None})
        return
    tell(told, label="warning", style="bold yellow")
    if hint:
        tell(hint, label="hint", style="bold cyan")


def tell_json(event: dict[str, Any]) -> None:
    """Write an event to stderr as one line of JSON."""
    sys.stderr.write(json.dumps(event) + "\n")
    sys.stderr.flush()


def _causes(error: BaseException) -> list[str]:
    """What led to an error, nearest first: each cause of ours or of the system in its first line."""
    causes: list[str] = []
    cause = error.__cause__
    while cause is not None and len(causes) < 5:
        if isinstance(cause, OSError):
            causes.append(_describe_os_error(cause))
        elif isinstance(cause, SlmError) and str(cause):
            causes.append(str(cause).splitlines()[0])
        cause = cause.__cause__
    return causes


def _describe_os_error(error: OSError) -> str:
    """The system's words with the path first: `corpus.txt`: no such file or directory."""
    if error.strerror is None:
        return str(error)
    reason = error.strerror[:1].lower() + error.strerror[1:]
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    if not names and error.filename is not None:
        names = [str(error.filename)]
    return f"{' -> '.join(f'`{name}`' for name in names)}: {reason}" if names else reason


def _report_usage(error: Any) -> int:
    """Tell what is wrong with the command line itself, as Typer found it."""
    message: str = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        # Making the error has printed the help already, unless colour is off and it is the message.
        if message.strip():
            typer.echo(message, err=True)
        return EXIT_USAGE
    message = message[:1].lower() + message[1:]
    tell(message.rstrip("."), label="error", style="bold red")
    context = getattr(error, "ctx", None)
    tell(
        f"\n`{context.command_path if context else 'slm'} --help` shows what there is", label="hint", style="bold cyan"
    )
    return int(error.exit_code)


def tell(message: str, *, label: str | None = None, style: str = "") -> None:
    """Write to stderr; lines are left as long as they are, so that paths can be copied.

    Args:
        message: What to say; a blank line before it goes before the label.
        label: A word before the message, such as `error`.
        style: Style of the label, or of the message if there is none, where stderr has colours.
    """
    from rich.console import Console
    from rich.text import Text

    text = Text()
    if label is not None:
        before, message = ("\n", message[1:]) if message.startswith("\n") else ("", message)
        text.append(before)
        text.append(f"{label}: ", style=style)
        style = ""
    text.append(message, style=style)
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def missing_library(error: ModuleNotFoundError, user: str) -> SlmError:
    """Make the error for a library that is not installed.

    Args:
        error: What importing it raised.
        user: What needs it, such as a command in backticks.
    """
    library = (error.name or "").partition(".")[0]
    if library in ("", "slm"):
        return InternalError(f"{user} is not part of this build: {error}")
    return SlmError(
        f"{user} needs the Python package `{library}`, which is not installed\n\nhint: pip install {library}"
    )
