"""Options of the commands that generate text, and loading the model that they name."""

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slm.errors import ConfigError

if TYPE_CHECKING:
    from slm.engine import LLM, SamplingParams

DEFAULT_MAX_TOKENS = 256
"""Longest answer where the person did not say; less where the context has less room."""

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL_DIR", help="Directory of a trained model.", show_default=False)
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option(
        "--max-tokens",
        "-n",
        metavar="N",
        help=f"Most tokens to write. By default {DEFAULT_MAX_TOKENS}, or what the context has room for.",
        show_default=False,
    ),
]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", "-t", help="Randomness; 0 always takes the likeliest token.")
]
TopKOption = Annotated[
    int | None,
    typer.Option("--top-k", metavar="K", help="Keep the K likeliest tokens. By default all.", show_default=False),
]
TopPOption = Annotated[
    float, typer.Option("--top-p", help="Keep the likeliest tokens that together have this probability.")
]
MinPOption = Annotated[
    float, typer.Option("--min-p", help="Keep tokens at least this fraction as likely as the likeliest.")
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Write the same text again. By default a new one.", show_default=False),
]
StopOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stop", metavar="TEXT", help="End before this text, leaving it out. Can be repeated.", show_default=False
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="NAME", help="`cpu` or `cuda`. By default CUDA if there is any.", show_default=False
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="`float32`, `bfloat16` or `float16`. By default float32 on a CPU, else as stored.",
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", min=1, help="CPU threads. By default half of the processors.", show_default=False
    ),
]


@dataclass(frozen=True)
class SamplingOptions:
    """What every command that generates text can be asked: how to write, and what to compute with."""

    max_tokens: MaxTokensOption = None
    temperature: TemperatureOption = 0.8
    top_k: TopKOption = None
    top_p: TopPOption = 0.95
    min_p: MinPOption = 0.0
    seed: SeedOption = None
    stop: StopOption = None
    device: DeviceOption = None
    dtype: DtypeOption = None
    threads: ThreadsOption = None

    def params(self) -> "SamplingParams":
        """What the engine is asked.

        Raises:
            ConfigError: An option is out of range.
        """
        from slm.engine.sampling_params import SamplingParams

        return SamplingParams(
            max_tokens=DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            seed=self.seed,
            stop=[check_text(text, "`--stop`") for text in self.stop or ()],
        )

    def load_llm(self, model_dir: Path) -> "LLM":
        """Load the model; errors as `slm.LLM`."""
        return load_llm(model_dir, self.device, self.dtype, self.threads)


def takes_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `SamplingOptions` in place of its parameter `sampling`."""
    own = inspect.signature(command).parameters.values()
    options = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(SamplingOptions)
    ]
    names = {option.name for option in options}

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        sampling = SamplingOptions(**{name: given.pop(name) for name in names})
        command(**given, sampling=sampling)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own if parameter.name != "sampling"
    ]
    parameters += options
    with_options.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def load_llm(
    model_dir: Path, device: str | None, dtype: str | None, num_threads: int | None, max_batch: int = 1
) -> "LLM":
    """Load a model; errors as `slm.LLM`."""
    from slm.engine import LLM

    threads = default_num_threads() if num_threads is None else num_threads
    return LLM(model_dir, device=device, dtype=dtype, max_batch=max_batch, num_threads=threads)


def default_num_threads() -> int:
    """Half of the processors, which is all cores where each counts as two, or what `OMP_NUM_THREADS` says if fewer.

    The threads of a step wait for each other some fifty times a token. If one of them has to share its processor with
    another program, all wait for the scheduler: on two busy processors two threads gave 3 tokens/s, one gave 110.
    """
    import torch

    return max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // 2))


def check_text(text: str, name: str) -> str:
    """Refuse text that came as bytes which are not UTF-8.

    Raises:
        ConfigError: `text` holds such bytes, as Python marks them.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is not UTF-8 at character {error.start}") from None
    return text


def shown(text: str, *, on_terminal: bool) -> str:
    r"""Text as it may be written: on a terminal, control characters that a model made up are shown and not obeyed.

    Example:
        >>> shown("a\x1b[2J\n", on_terminal=True)
        'a␛[2J\n'
    """
    if not on_terminal:
        return text
    return "".join(
        char if char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160) else _picture(char) for char in text
    )


def _picture(control: str) -> str:
    code = ord(control)
    return chr(0x2400 + code) if code < 32 else "␡" if code == 127 else "\ufffd"
