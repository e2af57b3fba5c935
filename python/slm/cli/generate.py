"""`slm generate`: continue one prompt."""

import sys
import time
from typing import Annotated

import typer

from slm.cli.nouns import noun_as_command
from slm.cli.options import JsonOption
from slm.cli.sampling import DEFAULT_MAX_TOKENS, ModelArgument, SamplingOptions, check_text, shown, takes_sampling

app = noun_as_command()


@app.command()
@takes_sampling
def generate(
    model_dir: ModelArgument,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="Text to continue; `-` reads it from stdin.", show_default=False)
    ],
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Go on past the end of the text.")] = False,
    echo: Annotated[bool, typer.Option("--echo", help="Write the prompt before the answer.")] = False,
    json_: JsonOption = False,
    *,
    sampling: SamplingOptions,
) -> None:
    """Continue a prompt, writing the text as it comes.

    The text goes to stdout and a line with the seed and the speed to stderr.

    Example: slm generate model/ "def main(" --temperature 0
    """
    import secrets
    from dataclasses import replace

    # All that can be wrong with the arguments is found before the model is loaded.
    params = sampling.params()
    seed = secrets.randbits(32) if params.seed is None else params.seed
    params = replace(params, seed=seed, ignore_eos=ignore_eos)
    text = check_text(_read_prompt(prompt), "the prompt")
    llm = sampling.load_llm(model_dir)
    prompt_ids = llm.tokenizer.encode(text).tolist()
    if sampling.max_tokens is None:
        room = llm.engine.context_tokens - max(1, len(prompt_ids))
        params = replace(params, max_tokens=max(1, min(DEFAULT_MAX_TOKENS, room)))
    started = time.perf_counter()
    if json_:
        import json
        from dataclasses import asdict

        completion = asdict(llm.generate([prompt_ids], params)[0])
        seconds = time.perf_counter() - started
        speed = {"seconds": round(seconds, 4), "tokens_per_second": round(len(completion["token_ids"]) / seconds, 1)}
        typer.echo(json.dumps({"prompt": text, **completion, **speed}, ensure_ascii=False))
        return
    on_terminal = sys.stdout.isatty()
    if echo:
        typer.echo(shown(text, on_terminal=on_terminal), nl=False)
    num_tokens, reason = 0, None
    stream = llm.stream(prompt_ids, params)
    try:
        for delta in stream:
            num_tokens += delta.token_id is not None
            reason = delta.finish_reason
            typer.echo(shown(delta.text, on_terminal=on_terminal), nl=False)
            sys.stdout.flush()
    finally:
        typer.echo()
    seconds = time.perf_counter() - started
    ending = {"stop": "ended by itself", "length": "reached the most tokens"}.get(str(reason), reason)
    typer.echo(
        f"{num_tokens} tokens in {seconds:.1f} s, {num_tokens / seconds:.0f} tokens/s, {ending}, seed {params.seed}",
        err=True,
    )


def _read_prompt(prompt: str) -> str:
    if prompt != "-":
        return prompt
    from slm.errors import ConfigError

    content = sys.stdin.buffer.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the prompt on stdin is not UTF-8 at byte {error.start}") from None
