"""`slm eval`: perplexity and bits per byte of a model on documents that it has not learned from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from slm.cli.nouns import noun_as_command
from slm.cli.options import JsonOption, ProgressOption, SetOption
from slm.cli.progress import ProgressStyle

app = noun_as_command()


@app.command("eval")
def evaluate(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A model directory.", show_default=False)],
    shards: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Read the documents of a shard directory.", show_default=False)
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="SPLIT", help="Split of the shards: validation or train.")
    ] = "validation",
    text: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Read a text file as one document. Can be repeated.", show_default=False),
    ] = None,
    set_: SetOption = None,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, `cuda:1`, `mps` or `auto`.")] = "auto",
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Measure perplexity and bits per byte over whole documents.

    A window slides over each document and every token counts once. [bold]--set[/bold] takes window_tokens,
    stride_tokens, max_documents and batch_rows.
    """
    import json
    from dataclasses import asdict

    from slm.errors import ConfigError

    if (shards is None) == (not text):
        raise ConfigError("documents come from `--shards DIR` or from `--text FILE`, and from one of the two")

    from rich.console import Console

    from slm.checkpoint.model_dir import load_model, load_tokenizer
    from slm.cli.progress import ProgressReport, progress_display
    from slm.config.evals import EvalConfig
    from slm.data.dataset import TokenDataset
    from slm.evals.loss import evaluate as evaluate_model
    from slm.evals.report import as_table
    from slm.train.precision import resolve_device

    config = EvalConfig.from_values({}, set_ or (), source="`--set`")
    dataset = TokenDataset(shards, split) if shards is not None else None
    documents = dataset if dataset is not None else _read_texts(text or [])
    available = dataset.num_documents if dataset is not None else len(text or [])
    total = min(available, config.max_documents or available)
    tokenizer = load_tokenizer(model_dir)
    model = load_model(model_dir, device=resolve_device(device))
    with progress_display("reading", progress) as on_progress:
        report = evaluate_model(
            model,
            documents,
            tokenizer,
            config,
            on_document=lambda done: on_progress(ProgressReport("evaluate", "documents", done, total)),
        )
    if json_:
        typer.echo(json.dumps(asdict(report)))
    else:
        source = f"{shards} ({split})" if shards is not None else f"{available} text files"
        Console(highlight=False).print(as_table(report, model=str(model_dir), source=source))


def _read_texts(paths: list[Path]) -> Iterator[str]:
    from slm.errors import DataError

    for path in paths:
        content = path.read_bytes()
        try:
            yield content.decode("utf-8")
        except UnicodeDecodeError as err:
            raise DataError(
                f"`{path}` is not UTF-8: byte {content[err.start]:#04x} at offset {err.start}\n\n"
                "hint: convert it, for example with `iconv -t UTF-8`"
            ) from err
