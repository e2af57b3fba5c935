"""`slm quickstart`: the whole road, with a live line a stage and the next commands at the end."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slm.cli.nouns import noun_as_command
from slm.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.console import Console

    from slm.cli.progress import OnProgress, ProgressLike
    from slm.quickstart.run import QuickstartResult
    from slm.report.page import Sample
    from slm.train.metrics import StepMetrics

app = noun_as_command()

_TITLES = {
    "tokenizer": "train a tokenizer",
    "shards": "encode the text into shards",
    "plan": "choose the model",
    "train": "train the model",
    "evaluate": "measure it on held-out documents",
    "samples": "let it write",
    "report": "draw the report",
    "export": "export the model directory",
}


@app.command()
def quickstart(
    minutes: Annotated[float, typer.Option(help="About how long the whole may take.")] = 5.0,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH...",
            help="Text to learn from: files, directories or globs, a document a file.",
            show_default="this interpreter's own standard library",
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True, help="Further paths after `--corpus PATH`.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes; started again, it goes on.")] = Path(
        "quickstart"
    ),
    num_threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Threads to use.", show_default="one a core")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Go from raw text to a small language model in minutes: tokenizer, shards, training, evaluation, samples, report.

    Interrupted and started again with the same options it goes on where it was.
    """
    import json

    from rich.console import Console

    from slm.errors import ConfigError
    from slm.quickstart.run import quickstart as run_quickstart

    if more and not corpus:
        raise ConfigError(f"`{more[0]}` is not an option\n\nhint: name text with `--corpus {more[0]}`")
    console = Console(stderr=True, highlight=False)
    narrator = _Narrator(console)
    with narrator:
        result = run_quickstart(
            out, corpus=[*(corpus or ()), *(more or ())], minutes=minutes, num_threads=num_threads, narrator=narrator
        )
    if json_:
        typer.echo(json.dumps(_as_json(result), ensure_ascii=False))
    else:
        _show(result)


class _Narrator:
    """Draws what `slm.quickstart` tells: a heading a stage, its notes, its live line, and how long it took."""

    def __init__(self, console: "Console"):
        self._console = console
        self._open = ExitStack()
        self._on_progress: OnProgress | None = None
        self._title: str | None = None
        self._started = 0.0

    def __enter__(self) -> "_Narrator":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        self._finish(is_done=error_type is None)

    def stage(self, title: str, *, is_done: bool) -> None:
        self._finish(is_done=True)
        if is_done:
            self._console.print(f"[green]✓[/green] {_TITLES[title]} [dim](already done)[/dim]")
            return
        self._title = _TITLES[title]
        self._started = time.monotonic()
        self._console.print(f"[bold]• {self._title}[/bold]")

    def note(self, text: str) -> None:
        self._console.print(f"  {text}", style="dim", markup=False)

    def progress(self, progress: "ProgressLike") -> None:
        from slm.cli.progress import progress_display

        if self._on_progress is None:
            self._on_progress = self._open.enter_context(progress_display(self._title or ""))
        self._on_progress(progress)

    def step(self, metrics: "StepMetrics", max_steps: int) -> None:
        from slm.cli.progress import ProgressReport

        counters = {"loss": f"{metrics.loss:.3f}", "tokens/s": f"{metrics.tokens_per_second:,.0f}"}
        self.progress(ProgressReport("train", "steps", metrics.step, max_steps, counters))

    def _finish(self, *, is_done: bool) -> None:
        self._open.close()
        self._open = ExitStack()
        self._on_progress = None
        if self._title is not None and is_done:
            self._console.print(f"[green]✓[/green] {self._title} [dim]{time.monotonic() - self._started:.1f} s[/dim]")
        self._title = None


def _as_json(result: "QuickstartResult") -> dict[str, object]:
    import dataclasses

    values = dataclasses.asdict(result)
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


def _show(result: "QuickstartResult") -> None:
    """Print the figures, the samples and the commands that go on from here."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.text import Text

    console = Console(highlight=False)
    for sample in result.samples:
        console.rule(Text(f"sample, {sample.settings}", style="dim"), align="left")
        text = sample.prompt + sample.continuation
        if result.corpus.startswith("the Python sources"):
            console.print(Padding(Syntax(text, "python", theme="ansi_dark", background_color="default"), (0, 2)))
        else:
            console.print(Padding(Text.assemble((sample.prompt, "bold"), sample.continuation), (0, 2)))
    console.rule(style="dim")

    # Plain lines: a terminal may wrap them, but a command must stay whole for whoever copies it.
    figures = {
        "model": f"{result.parameters:,} parameters, {result.steps:,} steps on {result.corpus}",
        "held-out text": f"loss {result.validation_loss:.3f} nats per token, perplexity {result.perplexity:.1f}, "
        f"{result.bits_per_byte:.3f} bits per byte",
        "this call took": f"{result.seconds:.0f} s",
    }
    slm = _program()
    commands = {
        "talk with it": f"{slm} chat {result.model}",
        "continue a prompt": f"{slm} generate {result.model} {_quoted(result.samples)}",
        "serve it": f"{slm} serve {result.model}",
        "read the report": str(result.report),
        "look into the tokenizer": f"{slm} tokenizer inspect {result.tokenizer}",
        "look into the shards": f"{slm} data inspect {result.shards}",
        "measure it again": f"{slm} eval {result.model} --shards {result.shards}",
        "see the run's config": f"{slm} config show {result.run / 'config.yaml'}",
        "train it longer": f"{slm} train {result.out / 'run.yaml'} --set train.max_steps={result.steps * 2}",
    }
    for name, text in figures.items():
        typer.echo(f"{name:<25}{text}")
    typer.echo()
    for name, text in commands.items():
        typer.echo(f"{name:<25}{text}")


def _program() -> str:
    """What to type for `slm`: the name where the shell finds it, else the path of this environment's own."""
    import os
    import shutil
    import sys

    own = Path(sys.executable).with_name("slm")
    return "slm" if shutil.which("slm") or not own.exists() else os.path.relpath(own)


def _quoted(samples: "tuple[Sample, ...]") -> str:
    """The first prompt of one line, as a shell takes it."""
    import shlex

    return next((shlex.quote(sample.prompt) for sample in samples if "\n" not in sample.prompt), "PROMPT")
