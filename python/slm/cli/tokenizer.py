"""`slm tokenizer`: train a tokenizer, look inside it, encode and decode."""

import json
from typing import TYPE_CHECKING, Any

import typer

from slm.cli.nouns import noun_with_commands
from slm.cli.options import ConfigOption, DryRunOption, JsonOption, ProgressOption, SetOption, load_config
from slm.cli.progress import ProgressStyle
from slm.cli.tokenizer_encode import decode, encode
from slm.cli.tokenizer_inspect import inspect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slm.config.tokenizer import CorpusConfig

app = noun_with_commands("Train a tokenizer, look inside it, encode and decode.")


@app.command()
def train(
    config: ConfigOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Learn a tokenizer from a corpus; the same config makes the same tokenizer, with any number of threads.

    [bold]Example[/bold]: slm tokenizer train -c configs/tokenizer/8k.yaml --set out=tok
    """
    from slm.cli.progress import progress_display
    from slm.cli.tokenizer_plan import announce, summary, tell_plan
    from slm.config.tokenizer import TokenizerConfig
    from slm.tokenizer.train import train_tokenizer

    settings = load_config(TokenizerConfig, config, set_)
    if dry_run:
        tell_plan(settings, json_=json_)
        return
    if progress is not ProgressStyle.NONE:
        announce(settings, progress)
    with progress_display("reading", progress) as on_progress:
        tokenizer = train_tokenizer(
            list(settings.corpus.paths),
            **corpus_arguments(settings.corpus),
            vocab_size=settings.vocab_size,
            pattern=settings.pattern,
            digits=settings.digits,
            prefix_space=settings.prefix_space,
            normalization=settings.normalization,
            special_tokens=settings.special_tokens,
            chat_tokens=settings.chat_tokens,
            reserved_tokens=settings.reserved_tokens,
            special_tokens_in_text=settings.special_tokens_in_text,
            min_frequency=settings.min_frequency,
            max_token_length=settings.max_token_length,
            max_token_bytes=settings.max_token_bytes,
            initial_alphabet=settings.initial_alphabet,
            num_threads=settings.num_threads,
            memory_limit=settings.memory_limit,
            spill_dir=settings.spill_dir,
            max_spill=settings.max_spill,
            progress=on_progress,
            out=settings.out,
        )
    if json_:
        made = {"out": str(settings.out), "fingerprint": tokenizer.fingerprint, "training": tokenizer.training}
        made |= {"vocab_size": tokenizer.vocab_size, "merges": len(tokenizer.merges())}
        typer.echo(json.dumps(made | {"next": f"slm tokenizer inspect {settings.out}"}))
        return
    typer.echo(summary(settings, tokenizer))


app.command()(inspect)
app.command()(encode)
app.command()(decode)


def corpus_arguments(corpus: "CorpusConfig") -> dict[str, Any]:
    """The settings of a corpus besides its paths, as the library takes them."""
    return {
        "documents": corpus.documents,
        "separator": corpus.separator,
        "format": corpus.format,
        "field": corpus.field,
        "invalid_utf8": corpus.invalid_utf8,
    }


def left_out(skipped: "Mapping[str, int]", replaced_sequences: int) -> str:
    """What of a corpus was skipped or replaced, by reason."""
    parts = [f"{count:,} {reason}" for reason, count in skipped.items() if count]
    text = f"skipped {', '.join(parts) or 'nothing'}"
    return f"{text}; replaced {replaced_sequences:,} sequences that are not UTF-8" if replaced_sequences else text
