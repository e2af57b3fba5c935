"""`slm tokenizer`: train a tokenizer, look inside it, encode and decode."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slm.cli.nouns import noun_with_commands
from slm.cli.options import (
    ConfigArgument,
    DryRunOption,
    JsonOption,
    ProgressOption,
    SetOption,
    load_config,
    takes_config,
)
from slm.cli.progress import ProgressStyle
from slm.cli.tokenizer_counts import count, merge_counts, overrides
from slm.cli.tokenizer_encode import decode, encode
from slm.cli.tokenizer_import import import_
from slm.cli.tokenizer_inspect import inspect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slm.config.tokenizer import CorpusConfig, TokenizerConfig
    from slm.tokenizer.tokenizer import Tokenizer

app = noun_with_commands("Train a tokenizer, look inside it, encode and decode.")


@app.command()
@takes_config
def train(
    config: ConfigArgument,
    set_: SetOption = None,
    counts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Train on these counts, without the corpus.", show_default=False)
    ] = None,
    extend: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Go on from this tokenizer, whose tokens keep their ids.", show_default=False),
    ] = None,
    vocab_sizes: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Write a tokenizer of each size, into OUT/N.", show_default=False),
    ] = None,
    dry_run: DryRunOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Learn a tokenizer from a corpus; the same config makes the same tokenizer, with any number of threads.

    [bold]Example[/bold]: slm tokenizer train configs/tokenizer/8k.yaml --set out=tok
    """
    from slm.cli.progress import progress_display
    from slm.cli.tokenizer_plan import summary, tell_plan
    from slm.cli.tokenizer_prediction import announce_training
    from slm.config.tokenizer import TokenizerConfig
    from slm.tokenizer.train import train_tokenizer, train_tokenizers

    settings = load_config(TokenizerConfig, config, [*(set_ or ()), *overrides(counts, vocab_sizes, extend)])
    if dry_run:
        tell_plan(settings, json_=json_)
        return
    predicted = announce_training(settings, progress)
    with progress_display("reading", progress) as on_progress:
        arguments = _train_arguments(settings)
        arguments |= {"progress": on_progress, "out": settings.out}
        if settings.vocab_sizes is None:
            made = {settings.vocab_size: train_tokenizer(vocab_size=settings.vocab_size, **arguments)}
        else:
            made = train_tokenizers(vocab_sizes=settings.vocab_sizes, **arguments)
    if json_:
        results = [_result(_out_of(settings, size), tokenizer) for size, tokenizer in made.items()]
        typer.echo(json.dumps(results[0] if settings.vocab_sizes is None else {"tokenizers": results}))
        return
    summaries = [
        summary(settings, size, _out_of(settings, size), tokenizer, predicted) for size, tokenizer in made.items()
    ]
    typer.echo("\n\n".join(summaries))


app.command()(count)
app.command("merge-counts")(merge_counts)
app.command()(inspect)
app.command()(encode)
app.command()(decode)
app.command("import")(import_)


def _train_arguments(settings: "TokenizerConfig") -> dict[str, Any]:
    """The settings as the library takes them, but for the sizes."""
    arguments: dict[str, Any] = {
        "extend": settings.extend,
        "chat_tokens": settings.chat_tokens,
        "reserved_tokens": settings.reserved_tokens,
        "min_frequency": settings.min_frequency,
        "max_token_length": settings.max_token_length,
        "max_token_bytes": settings.max_token_bytes,
        "initial_alphabet": settings.initial_alphabet,
        "num_threads": settings.num_threads,
        "memory_limit": settings.memory_limit,
        "spill_dir": settings.spill_dir,
        "max_spill": settings.max_spill,
    }
    # What nobody asked for is that of the counts, or of the tokenizer to go on from.
    for name in ("pattern", "digits", "prefix_space", "normalization", "special_tokens", "special_tokens_in_text"):
        if name in settings.model_fields_set:
            arguments[name] = getattr(settings, name)
    if settings.counts is not None or settings.corpus is None:
        return arguments | {"counts": settings.counts}
    return arguments | {"corpus": list(settings.corpus.paths)} | corpus_arguments(settings.corpus)


def _out_of(settings: "TokenizerConfig", vocab_size: int) -> Path:
    return settings.out if settings.vocab_sizes is None else settings.out / str(vocab_size)


def _result(out: Path, tokenizer: "Tokenizer") -> dict[str, Any]:
    made = {"out": str(out), "fingerprint": tokenizer.fingerprint, "training": tokenizer.training}
    made |= {"vocab_size": tokenizer.vocab_size, "merges": len(tokenizer.merges())}
    return made | {"next": f"slm tokenizer inspect {out}"}


def corpus_arguments(corpus: "CorpusConfig") -> dict[str, Any]:
    """The settings of a corpus besides its paths, as the library takes them."""
    return {
        "documents": corpus.documents,
        "separator": corpus.separator,
        "format": corpus.format,
        "field": corpus.field,
        "invalid_utf8": corpus.invalid_utf8,
        "on_error": corpus.on_error,
    }


def left_out(skipped: "Mapping[str, int]", replaced_sequences: int) -> str:
    """What of a corpus was skipped or replaced, by reason."""
    parts = [f"{count:,} {reason}" for reason, count in skipped.items() if count]
    text = f"skipped {', '.join(parts) or 'nothing'}"
    return f"{text}; replaced {replaced_sequences:,} sequences that are not UTF-8" if replaced_sequences else text
